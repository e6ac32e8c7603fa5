// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fieldcases

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// webhookSecrets is the name of the Secrets with webhook secrets.
const webhookSecrets = "postern-webhook-secrets"

var imageUpdaters = schema.GroupVersionResource{
	Group: "argocd-image-updater.argoproj.io", Version: "v1alpha1", Resource: "imageupdaters",
}

// fence waits until Postern has seen earlier changes. Each of Postern's watches delivers the changes of all namespaces
// in order. An object that is written after them to the namespace of the fence, and that Postern acts on, shows that it
// has seen them.
type fence struct {
	suite     *suite
	namespace string
	count     atomic.Int64
}

func newFence(ctx context.Context, s *suite) (*fence, error) {
	f := &fence{suite: s, namespace: "fence"}
	if _, err := s.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: f.namespace},
	}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if _, err := s.Kube.CoreV1().Secrets(f.namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: webhookSecrets},
	}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	// For secretKnown.
	rbac := s.Kube.RbacV1()
	if _, err := rbac.Roles(f.namespace).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: f.namespace},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"postern.dev"}, Resources: []string{"gatewaysyncs/webhookdeliveries"},
			Verbs: []string{"create"},
		}},
	}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	_, err := rbac.RoleBindings(f.namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: f.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: f.namespace},
		Subjects:   []rbacv1.Subject{testcluster.Unauthenticated},
	}, metav1.CreateOptions{})
	return f, err
}

// await waits until Postern has seen all earlier changes to GatewaySyncs, Applications, ApplicationSets, ImageUpdaters
// and webhook secrets.
func (f *fence) await(t *testing.T) {
	t.Helper()
	box := f.suite.Sandbox(t, f.namespace)
	name := fmt.Sprintf("fence-%d", f.count.Add(1))
	own := func(manifest string) string { return strings.ReplaceAll(manifest, "github.com", name+".example.com") }
	box.Create(testcluster.GatewaySyncs, own(testcluster.GatewaySync(name)))
	box.Create(testcluster.Applications, own(testcluster.Application(name)))
	box.Create(testcluster.ApplicationSets, own(testcluster.ApplicationSet(name)))
	box.Create(imageUpdaters, `
apiVersion: argocd-image-updater.argoproj.io/v1alpha1
kind: ImageUpdater
metadata: {name: `+name+`}
spec: {applicationRefs: [{namePattern: `+name+`, images: [{alias: shop, imageName: `+name+`.example.com/shop}]}]}`)
	f.addSecret(t, name)

	repository := `{"ref": "main", "repository": "https://` + name + `.example.com/example/`
	box.Eventually(testcluster.Patience, func() error { return f.dryRun(t, repository+`plant.git"}`, "GatewaySync") })
	box.Eventually(testcluster.Patience, func() error { return f.dryRun(t, repository+`shop.git"}`, "Application") })
	box.Eventually(testcluster.Patience, func() error { return f.dryRun(t, repository+`apps.git"}`, "ApplicationSet") })
	box.Eventually(testcluster.Patience, func() error {
		return f.dryRun(t, `{"docker_url": "`+name+`.example.com/shop", "homepage": "", "repository": "shop", `+
			`"updated_tags": ["1.0"]}`, "Application")
	})
	box.Eventually(testcluster.Patience, func() error { return f.secretKnown(t, name) })
}

// addSecret adds a secret for a GatewaySync to the webhook secrets.
func (f *fence) addSecret(t *testing.T, name string) {
	t.Helper()
	patch, err := json.Marshal(corev1.Secret{StringData: map[string]string{secretKeyOf(name): name}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.suite.Kube.CoreV1().Secrets(f.namespace).Patch(t.Context(), webhookSecrets, types.MergePatchType,
		patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func secretKeyOf(name string) string { return "gatewaysyncs." + name + ".token" }

// dryRun returns an error unless a delivery without a target would reach an object of the kind.
func (f *fence) dryRun(t *testing.T, payload, kind string) error {
	spec := fmt.Sprintf(`{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery", "metadata": `+
		`{"generateName": "fence-"}, "spec": {"payload": %s}}`, payload)
	answer, err := post(t, f.suite.administrator(f.namespace), "webhookdeliveries?dryRun=All", spec, nil)
	if err != nil {
		return err
	}
	var d v1alpha1.WebhookDelivery
	if err := json.Unmarshal(answer.Body, &d); err != nil {
		return err
	}
	if answer.Code != http.StatusCreated || len(d.Status.Targets) != 1 || string(d.Status.Targets[0].Kind) != kind {
		return fmt.Errorf("a delivery to a new %s was answered %d: %s", kind, answer.Code, answer.Body)
	}
	return nil
}

// secretKnown returns an error unless the secret for a GatewaySync authenticates a sender. The body is refused after
// that.
func (f *fence) secretKnown(t *testing.T, name string) error {
	answer, err := post(t, f.suite.sender(f.namespace, ""), "gatewaysyncs/"+name+"/webhookdeliveries", "{}",
		map[string]string{"X-Webhook-Token": name})
	if err == nil && answer.Code != http.StatusBadRequest {
		err = fmt.Errorf("a sender with a new secret was answered %d: %s", answer.Code, answer.Body)
	}
	return err
}

// post sends a body as JSON, unless a header has another type.
func post(t *testing.T, s testcluster.Sender, path, body string, header map[string]string) (testcluster.Answer, error) {
	req, err := s.NewRequest(t.Context(), http.MethodPost, path, strings.NewReader(body), map[string]string{
		"Content-Type": "application/json",
	})
	if err != nil {
		return testcluster.Answer{}, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	return s.Do(req)
}
