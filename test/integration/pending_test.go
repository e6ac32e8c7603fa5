// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// breakOff makes the kube-apiserver answer all writes of a resource's objects in this namespace with 500, as it does if
// an admission webhook is unreachable: port 1 is closed. It returns once that is in effect; mend ends it.
func (w *world) breakOff(resource schema.GroupVersionResource, example string) (mend func()) {
	w.T.Helper()
	manifest := `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: ` + w.Namespace + `}
webhooks:
- name: broken.example.com
  clientConfig: {url: "https://127.0.0.1:1/"}
  failurePolicy: Fail
  sideEffects: None
  timeoutSeconds: 5
  admissionReviewVersions: [v1]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + w.Namespace + `}}
  rules: [{apiGroups: [` + resource.Group + `], apiVersions: ['*'], operations: [UPDATE], resources: [` +
		resource.Resource + `]}]
`
	w.kubectl(manifest, "create", "--filename=-")
	mended := false
	mend = func() {
		w.T.Helper()
		if mended {
			return
		}
		mended = true
		if _, err := w.Kubectl(context.Background(), manifest, "delete", "--filename=-"); err != nil {
			w.T.Error(err)
		}
	}
	w.T.Cleanup(mend)
	w.eventually(func() error {
		_, err := w.Objects.Resource(resource).Namespace(w.Namespace).Patch(w.T.Context(), example,
			types.MergePatchType,
			[]byte(`{"metadata": {"annotations": {"example.com/try": "it"}}}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("the webhook is not in effect yet")
		}
		return nil
	})
	return mend
}

// checkPending fails the test unless a delivery of a ref to GatewaySync web is pending.
func checkPending(t *testing.T, d *v1alpha1.WebhookDelivery, ref string) {
	t.Helper()
	checkOutcome(t, d, v1alpha1.DeliveryPending, "TargetUnavailable")
	want := []v1alpha1.TargetResult{{
		Kind: v1alpha1.TargetGatewaySync, Name: "web", Ref: ref, Result: v1alpha1.TargetPending,
		Reason: "TargetUnavailable",
	}}
	if diff := cmp.Diff(want, d.Status.Targets, ignoreTimes,
		cmpopts.IgnoreFields(v1alpha1.TargetResult{}, "Message")); diff != "" {
		t.Errorf("status.targets of %s (-want +got):\n%s", d.Name, diff)
	}
	mustBeIn(t, d.Status.Message, "broken.example.com")
	if meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionApplied) {
		t.Errorf("delivery %s is pending, but its condition Applied is true", d.Name)
	}
}

// untilRecorded waits until the record of a delivery has this phase, and returns it.
func (w *world) untilRecorded(name string, phase v1alpha1.DeliveryPhase, reason string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	var d *v1alpha1.WebhookDelivery
	w.eventually(func() (err error) {
		d, err = w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Get(w.T.Context(), name,
			metav1.GetOptions{})
		if err == nil && (d.Status.Phase != phase || d.Status.Reason != reason) {
			err = fmt.Errorf("delivery %s is %s, %s; want %s, %s", name, d.Status.Phase, d.Status.Reason, phase, reason)
		}
		return err
	})
	return d
}

func TestRetry_RefusedWriteIsAppliedLater(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	before := w.Get(gatewaySyncs, "web")
	resumed := w.metrics(t, "postern_resumed_deliveries_total")
	mend := w.breakOff(gatewaySyncs, "web")

	answered := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted).delivery(t)
	checkPending(t, answered, "v1")
	checkPending(t, w.untilRecorded(answered.Name, v1alpha1.DeliveryPending, "TargetUnavailable"), "v1")
	w.kubectl("", "wait", "--for=jsonpath={.status.phase}=Pending", "whd/"+answered.Name)
	object := w.deliver(delivery("by-hand", toWeb+", ref: v2"))
	checkPending(t, object, "v2")
	w.mustBeUntouched(gatewaySyncs, before)
	pending := w.metrics(t, "postern_pending_deliveries")
	if diff := cmp.Diff(map[string]float64{"postern_pending_deliveries": 2}, pending); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if age := w.metrics(t, "postern_oldest_pending")["postern_oldest_pending_delivery_age_seconds"]; age <= 0 ||
		age > 600 {
		t.Errorf("the metric of the oldest pending delivery is %v seconds", age)
	}

	mend()

	// The delivery received last wins, whether or not the other was written before it.
	checkOutcome(t, w.concluded("by-hand"), v1alpha1.DeliveryApplied, "Requested")
	first := w.concluded(answered.Name).Status.Phase
	if first != v1alpha1.DeliveryApplied && first != v1alpha1.DeliverySuperseded {
		t.Errorf("the first delivery ended %s, want Applied or Superseded", first)
	}
	w.checkRequested("web", "v2", "generic")
	w.kubectl("", "wait", "--for=condition=Applied", "whd/by-hand", "--timeout=60s")
	var ended float64
	for _, by := range growth(resumed, w.metrics(t, "postern_resumed_deliveries_total")) {
		ended += by
	}
	if err := wantMetric("resumed deliveries", ended, 2); err != nil {
		t.Error(err)
	}
	w.eventually(func() error {
		return wantMetric("pending deliveries", w.metrics(t,
			"postern_pending_deliveries")["postern_pending_deliveries"], 0)
	})
}

// wantMetric returns an error unless the values are equal.
func wantMetric(what string, got, want float64) error {
	if got != want {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

func TestRetry_DuplicateOfPendingIsPending(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	mend := w.breakOff(gatewaySyncs, "web")
	body := releaseOf(plantRepository, "v2", later)
	first := ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"), http.StatusAccepted).delivery(t)
	checkPending(t, first, "v2")

	checkRepeat(t, ci.mustPost(t, gatewaySyncPath("web"), body, numbered("a"), http.StatusAccepted).delivery(t), first)

	mend()
	checkOutcome(t, w.concluded(first.Name), v1alpha1.DeliveryApplied, "Requested")
	w.mustHaveRecords(first.Name)
	w.targetEvents("web", 1)
}

func TestRetry_DeletedTargetFails(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.breakOff(gatewaySyncs, "web")
	checkPending(t, w.deliver(delivery("pending", toWeb+", ref: v1")), "v1")

	w.kubectl("", "delete", "gatewaysync", "web")

	got := w.concluded("pending")
	checkOutcome(t, got, v1alpha1.DeliveryFailed, "TargetGone")
	if targets := got.Status.Targets; len(targets) != 1 || targets[0].Result != v1alpha1.TargetFailed {
		t.Errorf("got targets %+v, want one that failed", targets)
	}
}

func TestRetry_SomeTargetsLater(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.Create(applications, `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: plant}
spec:
  project: default
  destination: {name: in-cluster, namespace: plant}
  source: {repoURL: "https://github.com/example/plant.git", path: deploy, targetRevision: main}`)
	body := `{"ref": "refs/heads/main", "after": "` + firstCommit + `", "head_commit": {"id": "` + firstCommit + `"},
		"repository": {"clone_url": "https://github.com/example/plant.git"}}`
	w.eventually(func() error {
		d := w.deliver(delivery("try", "payload: "+body), "--dry-run=server")
		return want("targets", len(d.Status.Targets), 2)
	})
	mend := w.breakOff(gatewaySyncs, "web")

	d := w.deliver(delivery("push", "payload: "+body))
	checkOutcome(t, d, v1alpha1.DeliveryPending, "TargetUnavailable")
	results := map[string]string{"plant": "Written Requested", "web": "Pending TargetUnavailable"}
	if err := sameResults(results, answer{body: mustJSON(t, d)}); err != nil {
		t.Error(err)
	}
	w.mustHold(applications, "plant", appRequestedRef, "main")
	before := w.Get(applications, "plant")

	mend()

	checkOutcome(t, w.concluded("push"), v1alpha1.DeliveryApplied, "Requested")
	w.checkRequested("web", "main", "github")
	w.mustBeUntouched(applications, before)
	w.targetEvents("plant", 1)
	w.targetEvents("web", 1)
}
