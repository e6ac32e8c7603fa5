// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// immutable is in the answer to a change of anything but the metadata.
const immutable = "is immutable: create another delivery, or POST to the redeliver subresource of this one"

func TestImmutable_KubectlChangesOfSpec(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("done", toWeb+", ref: v1")).Name)
	record := w.Get(webhookDeliveries, "done")
	before := w.Get(gatewaySyncs, "web")
	changed := delivery("done", toWeb+", ref: v2")

	for _, test := range []struct {
		stdin string
		args  []string
	}{
		{"", []string{"patch", "whd/done", "--type=merge", `--patch={"spec": {"ref": "v2"}}`}},
		{"", []string{"patch", "whd/done", "--type=strategic", `--patch={"spec": {"ref": "v2"}}`}},
		{"", []string{"patch", "whd/done", "--type=json",
			`--patch=[{"op": "replace", "path": "/spec/ref", "value": "v2"}]`}},
		{changed, []string{"replace", "--filename=-"}},
		{changed, []string{"apply", "--filename=-"}},
		{changed, []string{"apply", "--server-side", "--force-conflicts", "--filename=-"}},
	} {
		mustBeIn(t, w.refused(test.stdin, test.args...), `The WebhookDelivery "done" is invalid: `,
			"spec: Forbidden: "+immutable)
	}

	w.mustBeUntouched(webhookDeliveries, record)
	w.mustBeUntouched(gatewaySyncs, before)
}

func TestImmutable_KubectlEdit(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("done", toWeb+", ref: v1")).Name)
	record := w.Get(webhookDeliveries, "done")

	cmd := w.KubectlCommand(t.Context(), w.AdminKubeconfig(), "--namespace", w.Namespace, "edit", "whd/done")
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir(), "PATH=/usr/bin:/bin", "KUBE_EDITOR=sed -i s/v1$/v2/")
	out, err := cmd.CombinedOutput()

	if err == nil {
		t.Fatalf("kubectl edit succeeded: %s", out)
	}
	mustBeIn(t, string(out), `webhookdeliveries.postern.dev "done" is invalid`)
	w.mustBeUntouched(webhookDeliveries, record)
}

func TestImmutable_Status(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("done", toWeb+", ref: v1")).Name)
	record := w.Get(webhookDeliveries, "done")
	client := w.Objects.Resource(webhookDeliveries).Namespace(w.Namespace)
	patch := []byte(`{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery", "status": {"phase": "Failed"}}`)

	got := map[string]error{}
	for _, kind := range []types.PatchType{types.MergePatchType, types.StrategicMergePatchType, types.ApplyPatchType} {
		_, got[string(kind)] = client.Patch(t.Context(), "done", kind, patch,
			metav1.PatchOptions{FieldManager: "test", Force: forceIf(kind == types.ApplyPatchType)})
	}
	failed := record.DeepCopy()
	if err := unstructured.SetNestedField(failed.Object, "Failed", "status", "phase"); err != nil {
		t.Fatal(err)
	}
	_, got["update"] = client.Update(t.Context(), failed, metav1.UpdateOptions{})
	for verb, err := range got {
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "status: Forbidden: only the server sets it") {
			t.Errorf("%s: got %v, want 422 Invalid", verb, err)
		}
	}
	if _, err := client.UpdateStatus(t.Context(), record.DeepCopy(),
		metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("update of the status: got %v, want 404, since there is no such subresource", err)
	}
	w.mustBeUntouched(webhookDeliveries, record)
}

func forceIf(force bool) *bool {
	if !force {
		return nil
	}
	return &force
}

func TestImmutable_ClientStatusIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	forged := delivery("forged", toWeb+", payload: "+ping) + `
status:
  phase: Applied
  reason: Forged
  message: forged
  auditID: forged
  sender: {name: "system:admin", method: HMAC}
  payload: {sha256: forged, bytes: 1}
  conditions: [{type: Applied, status: "True", reason: Forged, message: forged,
      lastTransitionTime: "2020-01-01T00:00:00Z"}]
  targets: [{kind: GatewaySync, name: web, ref: forged, result: Written, time: "2020-01-01T00:00:00Z"}]
`
	answered := w.deliver(forged)
	honest := w.concluded(w.deliver(delivery("honest", toWeb+", payload: "+ping)).Name)

	recorded := w.concluded("forged")
	for name, got := range map[string]any{"answer": answered.Status, "record": recorded.Status} {
		want := honest.Status.DeepCopy()
		want.AuditID, want.ReceivedTime = recorded.Status.AuditID, recorded.Status.ReceivedTime
		if diff := cmp.Diff(*want, got, ignoreTimes); diff != "" {
			t.Errorf("status in the %s (-want +got):\n%s", name, diff)
		}
	}
	if recorded.Status.AuditID == "forged" || recorded.Status.AuditID == "" {
		t.Errorf("got auditID %q, want the server's own", recorded.Status.AuditID)
	}
}

func TestImmutable_SameNameIsRefused(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("taken", toWeb+", ref: v1")).Name)
	record := w.Get(webhookDeliveries, "taken")
	before := w.Get(gatewaySyncs, "web")

	output := w.refused(delivery("taken", toWeb+", ref: v2"), "create", "--filename=-")

	mustBeIn(t, output, "Error from server (AlreadyExists)", `webhookdeliveries.postern.dev "taken" already exists`)
	w.mustBeUntouched(webhookDeliveries, record)
	w.mustBeUntouched(gatewaySyncs, before)
}
