// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

func (w *world) requestedRef() string {
	w.T.Helper()
	return w.Get(testcluster.GatewaySyncs, "plant").GetAnnotations()["stoker.io/requested-ref"]
}

func TestRedeliver_GoesBack(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.deliver("one", toPlant("v1"))
	w.deliver("two", toPlant("v2"))

	w.expect(w.run("redeliver", "one", "--dry-run=server"), 0, "It would be Applied",
		"stoker.io/requested-ref: v2 → v1")
	if ref := w.requestedRef(); ref != "v2" {
		t.Errorf("a dry run changed the ref to %s", ref)
	}
	r := w.run("redeliver", "one")
	w.expect(r, 0, "delivered one again, which requests v1 for gatewaysync/plant. It was applied.",
		"Redelivery: of one")
	if ref := w.requestedRef(); ref != "v1" {
		t.Errorf("the ref is %s", ref)
	}
	w.expect(w.run("redeliver", "whd/two", "--yes", "-o", "name"), 0, "webhookdelivery.postern.dev/generic-")
	w.expect(w.run("redeliver", "none"), 1, "error: there is no delivery none")
	w.expect(w.run("redeliver", "one", "--dry-run=client"), 1, "invalid dry-run value (client)")

	subject, _ := w.ServiceAccount("reader", hour)
	w.Grant(subject, "get,list", "webhookdeliveries")
	as := "--as=system:serviceaccount:" + w.Namespace + ":reader"
	w.Eventually(testcluster.Patience, func() error {
		if r := w.run("why", "one", as); r.code != 0 {
			return errors.New(r.errOut)
		}
		return nil
	})
	w.expect(w.run("redeliver", "one", as), 1, "error: could not deliver one again", "forbidden")
}

// TestRedeliver_TellsOfFailure redelivers what a policy of the target's kind refuses. The server answers with an error
// and leaves a record.
func TestRedeliver_TellsOfFailure(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.deliver("one", toPlant("v1"))
	w.deliver("two", toPlant("v2"))
	w.MustKubectl(t, strings.ReplaceAll(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}
    resourceRules:
    - {apiGroups: [stoker.io], apiVersions: ['*'], resources: [gatewaysyncs], operations: [UPDATE]}
  validations: [{expression: "false", message: nothing is deployed on Mondays}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec: {policyName: NAME, validationActions: [Deny]}`, "NAME", w.Namespace), "apply", "-f", "-")
	t.Cleanup(func() {
		w.kubectlAtEnd("delete", "validatingadmissionpolicies,validatingadmissionpolicybindings", w.Namespace)
	})
	w.Eventually(testcluster.Patience, func() error { // it takes effect with a delay
		if r := w.run("redeliver", "one", "--dry-run=server"); r.code == 0 {
			return errors.New("the policy has no effect")
		}
		return nil
	})
	r := w.run("redeliver", "one")
	w.expect(r, 2, "It failed. The API server refuses the change", "nothing is deployed on Mondays",
		"kubectl postern doctor gatewaysync/plant --source generic -n "+w.Namespace)
	r = w.run("deliveries", "--phase=Failed", "-o", "json")
	var list v1alpha1.WebhookDeliveryList
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || len(list.Items) != 1 {
		t.Fatalf("%v in %s", err, r.out)
	}
	w.expect(w.run("why", list.Items[0].Name), 2, "nothing is deployed on Mondays")
}

// TestRedeliver_WaitsForPending redelivers while the target can't be written, until it can.
func TestRedeliver_WaitsForPending(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.deliver("one", toPlant("v1"))
	w.deliver("two", toPlant("v2"))
	remove := w.RegisterWebhook(`
failurePolicy: Fail
timeoutSeconds: 1
rules: [{apiGroups: [stoker.io], apiVersions: ['*'], operations: [UPDATE], resources: [gatewaysyncs]}]
clientConfig: {url: "https://127.0.0.1:1/"}`)
	w.Eventually(testcluster.Patience, func() error { // it takes effect with a delay
		_, err := w.Kubectl(t.Context(), "", "annotate", "gatewaysync.stoker.io/plant", "-n", w.Namespace,
			"--overwrite", "example.com/probe=a", "--dry-run=server")
		if err == nil {
			return errors.New("the webhook has no effect")
		}
		return nil
	})
	r := w.run("redeliver", "one", "--timeout=2s")
	w.expect(r, 1, "has not ended within 2s; Postern goes on with it: kubectl postern why generic-")

	ended := make(chan result, 1)
	go func() {
		var out, errOut buffer
		code := w.start(strings.NewReader(""), &out, &errOut, "redeliver", "one", "--timeout=1m")
		ended <- result{out.String(), errOut.String(), code}
	}()
	w.Eventually(testcluster.Patience, func() error {
		list, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).List(t.Context(),
			metav1.ListOptions{FieldSelector: "status.phase=Pending"})
		if err == nil && len(list.Items) < 2 {
			err = fmt.Errorf("%d deliveries are pending", len(list.Items))
		}
		return err
	})
	remove()
	w.expect(<-ended, 0, "It was applied.")
}

func TestDiff_OldNewAndNow(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	w.deliver("one", toPlant("v1"))
	w.deliver("two", toPlant("v2"))
	w.deliver("three", toPlant("v3"))
	r := w.run("diff", "two")
	w.expect(r, 2)
	if want := `--- gatewaysync/plant before two
+++ gatewaysync/plant after two
@@ stoker.io/requested-ref @@
-v1
+v2
!v3
`; r.out != want {
		t.Errorf("got:\n%swant:\n%s", r.out, want)
	}
	r = w.run("diff", "gatewaysync/plant")
	w.expect(r, 0, "-v2\n+v3\n")
	if strings.Contains(r.out, "\x1b") || strings.Contains(r.out, "!") {
		t.Errorf("got %q", r.out)
	}
	w.deliver("again", toPlant("v3"))
	w.expect(w.run("diff", "again"), 0, "again changed nothing.")
	w.expect(w.run("diff", "two", "-o", "json"), 2, `"old": "v1"`, `"new": "v2"`, `"now": "v3"`)
}
