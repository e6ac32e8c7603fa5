// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// recordDone delivers v1 to the GatewaySync web, and returns the record done.
func (w *world) recordDone() *unstructured.Unstructured {
	w.T.Helper()
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("done", toWeb+", ref: v1")).Name)
	return w.Get(webhookDeliveries, "done")
}

// mustDifferInMetadataOnly fails the test unless the record has the same spec and status as before.
func (w *world) mustDifferInMetadataOnly(before *unstructured.Unstructured) *unstructured.Unstructured {
	w.T.Helper()
	after := w.Get(webhookDeliveries, before.GetName())
	for _, part := range []string{"spec", "status"} {
		if diff := cmp.Diff(before.Object[part], after.Object[part]); diff != "" {
			w.T.Errorf("%s (-before +after):\n%s", part, diff)
		}
	}
	return after
}

func TestMetadata_KubectlChanges(t *testing.T) {
	w := newWorld(t)
	before := w.recordDone()
	target := w.Get(gatewaySyncs, "web")

	w.kubectl("", "label", "whd/done", "team=a")
	w.kubectl("", "annotate", "whd/done", "note=mine")
	w.kubectl("", "patch", "whd/done", "--type=json",
		`--patch=[{"op": "add", "path": "/metadata/labels/b", "value": "1"}]`)
	w.kubectl("", "patch", "whd/done", "--type=merge", `--patch={"metadata": {"labels": {"c": "1"}}}`)
	w.kubectl("", "patch", "whd/done", "--type=strategic", `--patch={"metadata": {"labels": {"d": "1"}}}`)
	after := w.mustDifferInMetadataOnly(before)
	want := map[string]string{"team": "a", "b": "1", "c": "1", "d": "1"}
	if diff := cmp.Diff(want, after.GetLabels()); diff != "" || after.GetAnnotations()["note"] != "mine" {
		t.Errorf("annotations %v, labels (-want +got):\n%s", after.GetAnnotations(), diff)
	}

	after.SetLabels(map[string]string{"team": "b"})
	client := w.Objects.Resource(webhookDeliveries).Namespace(w.Namespace)
	if _, err := client.Update(t.Context(), after, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.Update(t.Context(), after, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of what was read before: got %v, want a conflict", err)
	}
	w.kubectl("", "label", "whd/done", "team=c", "--overwrite", "--dry-run=server")
	if got := w.mustDifferInMetadataOnly(before).GetLabels(); len(got) != 1 || got["team"] != "b" {
		t.Errorf("got labels %v, want team=b", got)
	}
	w.mustBeUntouched(gatewaySyncs, target)
}

func TestMetadata_BoundsOfCreateHold(t *testing.T) {
	w := newWorld(t)
	before := w.recordDone()
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf(`"l%d": ""`, i)
	}
	for patch, want := range map[string]string{
		`{"labels": {` + strings.Join(many, ", ") + `}}`:                "metadata.labels: Too many: 65",
		`{"annotations": {"a": "` + strings.Repeat("a", 64<<10) + `"}}`: "metadata.annotations: Too long",
		`{"finalizers": ["a b"]}`:                                       "metadata.finalizers: Invalid value",
		`{"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap"}]}`: "metadata.ownerReferences[0].name: " +
			"Required value",
	} {
		_, err := w.Objects.Resource(webhookDeliveries).Namespace(w.Namespace).Patch(t.Context(), "done",
			types.MergePatchType, []byte(`{"metadata": `+patch+`}`), metav1.PatchOptions{})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	w.mustBeUntouched(webhookDeliveries, before)
}

// Each manifest delivers the first time, and changes nothing when it is applied again.
func TestMetadata_ApplyServerSide(t *testing.T) {
	for name, spec := range map[string]string{
		"ref":     toWeb + ", ref: v1",
		"payload": toWeb + `, payload: {ref: v1, note: {b: 1, a: [1, 2]}}, headers: {X-Other: a}`,
		"raw":     toWeb + `, rawPayload: eyJyZWYiOiAidjEifQ==`,
	} {
		for _, how := range []string{"--server-side", "--server-side=false"} {
			t.Run(name+how, func(t *testing.T) {
				w := newWorld(t)
				w.gatewaySync("web")
				manifest := strings.Replace(delivery("done", spec), "{name: done}", "{name: done, labels: {team: a}}",
					1)
				mustBeIn(t, w.kubectl(manifest, "apply", how, "--filename=-"), "webhookdelivery.postern.dev/done ")
				w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
				w.concluded("done")
				before, target := w.Get(webhookDeliveries, "done"), w.Get(gatewaySyncs, "web")

				w.kubectl(manifest, "apply", how, "--filename=-")
				w.mustDifferInMetadataOnly(before)
				relabeled := strings.Replace(manifest, "team: a", "area: b", 1)
				w.kubectl(relabeled, "apply", how, "--filename=-")
				after := w.mustDifferInMetadataOnly(before)
				if how == "--server-side" {
					if diff := cmp.Diff(map[string]string{"area": "b"}, after.GetLabels()); diff != "" {
						t.Errorf("labels (-want +got):\n%s", diff)
					}
				}
				w.mustHaveRecords("done")
				w.mustBeUntouched(gatewaySyncs, target)
			})
		}
	}
}

// The kube-apiserver asks only whether a caller may patch. Without the right to create, it must not deliver.
func TestMetadata_ApplyNeedsCreateToDeliver(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	subject, token := w.serviceAccount("labeler")
	w.Grant(subject, "patch", "webhookdeliveries")
	labeler := w.sender(token)
	target := w.Get(gatewaySyncs, "web")
	apply := func() answer {
		got, err := labeler.send(t.Context(), http.MethodPatch,
			"webhookdeliveries/new?fieldManager=test",
			strings.NewReader(`{"apiVersion": "postern.dev/v1alpha1", "kind": `+
				`"WebhookDelivery", "metadata": {"name": "new"}, "spec": {"ref": "v1", "target": {"kind": `+
				`"GatewaySync", `+
				`"name": "web"}}}`), map[string]string{"Content-Type": string(types.ApplyPatchType)})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	w.eventually(func() error { // the Role takes effect with a delay
		if got := apply(); got.code != http.StatusForbidden ||
			!strings.Contains(string(got.body), `cannot create resource`) {
			return fmt.Errorf("got %d: %s", got.code, got.body)
		}
		return nil
	})
	w.mustHaveRecords()
	w.mustBeUntouched(gatewaySyncs, target)

	w.Grant(subject, "create", "webhookdeliveries")
	w.eventually(func() error {
		if got := apply(); got.code != http.StatusCreated {
			return fmt.Errorf("got %d: %s", got.code, got.body)
		}
		return nil
	})
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
}

func TestMetadata_FinalizerDelaysDeletion(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.deliver(strings.Replace(delivery("kept", toWeb+", ref: v1"), "{name: kept}",
		"{name: kept, finalizers: [example.com/keep]}", 1))
	w.concluded("kept")
	w.kubectl("", "delete", "whd/kept", "--wait=false")
	if got := w.Get(webhookDeliveries, "kept"); got.GetDeletionTimestamp() == nil {
		t.Error("the record has no deletion timestamp")
	}
	w.kubectl("", "patch", "whd/kept", "--type=merge", `--patch={"metadata": {"finalizers": null}}`)
	w.eventually(func() error {
		if records := w.records(); len(records) > 0 {
			return errors.New("the record is still there")
		}
		return nil
	})
}

// What a backup has of a record is not a request: it has events, and neither a payload nor a signature.
func TestMetadata_RestoreDeliversNothing(t *testing.T) {
	w, restored := newWorld(t), newWorld(t)
	w.threeDeliveries()
	restored.gatewaySync("web")
	target := restored.Get(gatewaySyncs, "web")
	for _, record := range w.records() {
		backup := w.Get(webhookDeliveries, record.Name)
		backup.SetNamespace(restored.Namespace)
		backup.SetUID("")
		backup.SetResourceVersion("")
		backup.SetLabels(map[string]string{"velero.io/restore-name": "r"})
		delete(backup.Object, "status")
		_, err := w.Objects.Resource(webhookDeliveries).Namespace(restored.Namespace).Create(t.Context(), backup,
			metav1.CreateOptions{})
		if !apierrors.IsInvalid(err) {
			t.Errorf("%s: got %v, want 422 Invalid", record.Name, err)
		}
	}
	restored.mustHaveRecords()
	restored.mustBeUntouched(gatewaySyncs, target)
}
