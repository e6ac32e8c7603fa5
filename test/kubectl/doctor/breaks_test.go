// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/test/testcluster"
)

// furnaceElsewhere creates the target in another namespace, where the sender may deliver too. No other set-up has one.
func furnaceElsewhere(r *run) func() {
	other, err := cluster.Kube.CoreV1().Namespaces().Create(r.T.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: r.Namespace + "-other"},
	}, metav1.CreateOptions{})
	if err != nil {
		r.T.Fatal(err)
	}
	box := cluster.Sandbox(r.T, other.Name)
	box.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("furnace"))
	box.Grant(r.subject, "create", "gatewaysyncs/webhookdeliveries", "furnace")
	return nil
}

// create creates an object of the cluster, and deletes it at the end of the test.
func (r *run) create(manifest string) func() {
	r.T.Helper()
	manifest = r.expand(manifest)
	r.kubectl(manifest, "create", "-f", "-")
	return func() {
		if _, err := cluster.Kubectl(context.Background(), manifest, "delete", "-f", "-"); err != nil {
			r.T.Error(err)
		}
	}
}

// policy creates a policy for this namespace.
func (r *run) policy(name, rule, expression, message string) func() {
	return r.create(fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: "%[1]s-{ns}"}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "{ns}"}}
    resourceRules: [%[2]s]
  validations: [{expression: %[3]q, message: %[4]q, reason: Forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: "%[1]s-{ns}"}
spec: {policyName: "%[1]s-{ns}", validationActions: [Deny]}`, name, rule, expression, message))
}

// onlyReleases refuses deliveries of branches.
func onlyReleases(r *run) func() {
	return r.policy("only-releases",
		"{apiGroups: [postern.dev], apiVersions: [v1alpha1], resources: [webhookdeliveries], operations: [CREATE]}",
		"object.spec.events.all(e, e.ref.startsWith('v'))", "only refs that start with v are deployed here")
}

// frozen refuses changes of the target.
func frozen(r *run) func() {
	restore := r.policy("frozen",
		"{apiGroups: [stoker.io], apiVersions: ['*'], resources: [gatewaysyncs], operations: [UPDATE]}", "false",
		"nothing changes before the holidays")
	r.untilPlantCannotBeWritten()
	return restore
}

// untilPlantCannotBeWritten waits until no client can write the target: otherwise the first delivery would be applied.
func (r *run) untilPlantCannotBeWritten() {
	r.T.Helper()
	r.Eventually(testcluster.Patience, func() error {
		_, err := cluster.Objects.Resource(testcluster.GatewaySyncs).Namespace(r.Namespace).Patch(r.T.Context(),
			"plant",
			types.MergePatchType, []byte(`{"metadata": {"annotations": {"example.com/try": "it"}}}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("the target can still be written")
		}
		return nil
	})
}

// brokenWebhook makes the kube-apiserver call an admission webhook that it can't reach before it writes a target.
func brokenWebhook(r *run) func() {
	restore := r.create(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: "{ns}"}
webhooks:
- name: broken.example.com
  clientConfig: {url: "https://127.0.0.1:1/"}
  failurePolicy: Fail
  sideEffects: None
  timeoutSeconds: 5
  admissionReviewVersions: [v1]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "{ns}"}}
  rules: [{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}]`)
	r.untilPlantCannotBeWritten()
	return restore
}

// wantField returns an error unless a field of an object, as a JSONPath, has a value.
func (r *run) wantField(path, want string, object ...string) error {
	args := append([]string{"--namespace", r.Namespace, "get", "--output=jsonpath=" + path}, object...)
	got, err := cluster.Kubectl(r.T.Context(), "", args...)
	if err == nil && got != want {
		err = fmt.Errorf("%s of %v is %q, want %q", path, object, got, want)
	}
	return err
}
