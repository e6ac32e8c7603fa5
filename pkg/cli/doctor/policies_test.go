// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

func TestMatchingWebhooks_RulesAndNamespaces(t *testing.T) {
	rule := func(operation admissionv1.OperationType, group, resource string) admissionv1.RuleWithOperations {
		return admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{operation},
			Rule: admissionv1.Rule{
				APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: []string{resource},
			},
		}
	}
	webhook := func(name string, namespace map[string]string, rules ...admissionv1.RuleWithOperations,
	) *admissionv1.ValidatingWebhookConfiguration {
		return &admissionv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Webhooks: []admissionv1.ValidatingWebhook{{
				Name: name + ".example.com", Rules: rules,
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: namespace},
			}},
		}
	}
	demo := map[string]string{"team": "demo"}
	client := fake.NewClientset(
		webhook("a-deliveries", nil, rule(admissionv1.Create, "postern.dev", "webhookdeliveries")),
		webhook("b-everything", demo, rule(admissionv1.OperationAll, "*", "*/*")),
		webhook("c-targets", demo, rule(admissionv1.Update, "stoker.io", "gatewaysyncs")),
		webhook("d-other-namespace", map[string]string{"team": "other"}, rule(admissionv1.OperationAll, "*", "*")),
		webhook("e-other-operation", nil, rule(admissionv1.Delete, "postern.dev", "webhookdeliveries")),
		webhook("f-other-resource", nil, rule(admissionv1.Create, "", "pods")),
	)
	for name, test := range map[string]struct {
		target *v1alpha1.TargetReference
		want   []string
	}{
		"no target": {nil, []string{
			"ValidatingWebhookConfiguration a-deliveries", "ValidatingWebhookConfiguration b-everything",
		}},
		"a target": {&v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "plant"}, []string{
			"ValidatingWebhookConfiguration a-deliveries", "ValidatingWebhookConfiguration b-everything",
			"ValidatingWebhookConfiguration c-targets",
		}},
	} {
		e := &examiner{
			Cluster: &cli.Cluster{Namespace: "demo", Kubernetes: client}, Question: Question{Target: test.target},
			namespaceLabels: demo,
		}
		got, err := e.matchingValidatingWebhooks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
