// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// Prometheus does not scrape what it can't discover, and PosternDown fires forever.
func TestMonitoring_PrometheusMayOnlyScrape(t *testing.T) {
	c := start(t)
	const elsewhere = "default"
	before := map[string][]string{}
	for _, namespace := range []string{controlplane.Namespace, elsewhere} {
		before[namespace] = c.allowedToPrometheus(t, namespace)
	}
	rendered, err := c.Render(t.Context(), "manifests/overlays/monitoring")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.InstallFrom(t.Context(), rendered); err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string][]string{
		controlplane.Namespace: {
			"get /metrics",
			"get endpoints", "get endpointslices.discovery.k8s.io", "get pods", "get services",
			"list endpoints", "list endpointslices.discovery.k8s.io", "list pods", "list services",
			"watch endpoints", "watch endpointslices.discovery.k8s.io", "watch pods", "watch services",
		},
		elsewhere: {"get /metrics"},
	} {
		var got []string
		// The kube-apiserver sees a new binding with a delay.
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, testcluster.StartTimeout, true,
			func(context.Context) (bool, error) {
				got = slices.DeleteFunc(c.allowedToPrometheus(t, namespace), func(what string) bool {
					return slices.Contains(before[namespace], what)
				})
				return len(got) >= len(want), nil
			})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("permissions of Prometheus in %s (-want +got), %v:\n%s", namespace, err, diff)
		}
	}
}

// allowedToPrometheus returns all permissions of kube-prometheus's ServiceAccount in a namespace, sorted.
func (c *cluster) allowedToPrometheus(t *testing.T, namespace string) []string {
	t.Helper()
	config := c.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:monitoring:prometheus-k8s",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:monitoring", "system:authenticated"},
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectRulesReview{
			Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace},
		}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for _, rule := range review.Status.NonResourceRules {
		for _, verb := range rule.Verbs {
			for _, path := range rule.NonResourceURLs {
				allowed = append(allowed, verb+" "+path)
			}
		}
	}
	for _, rule := range review.Status.ResourceRules {
		for _, verb := range rule.Verbs {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					what := strings.TrimSuffix(verb+" "+resource+"."+group, ".")
					if len(rule.ResourceNames) > 0 {
						what += fmt.Sprintf(" %q", rule.ResourceNames)
					}
					allowed = append(allowed, what)
				}
			}
		}
	}
	slices.Sort(allowed)
	return slices.Compact(allowed)
}
