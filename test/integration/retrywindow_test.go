// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestRetry_FailsAfterWindow(t *testing.T) {
	w := newSuite(t, "--retry-window=1s").newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	before := w.Get(gatewaySyncs, "web")
	mend := w.breakOff(gatewaySyncs, "web")

	answered := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted).delivery(t)
	checkPending(t, answered, "v1")

	got := w.concluded(answered.Name)
	checkOutcome(t, got, v1alpha1.DeliveryFailed, "TargetUnavailable")
	if targets := got.Status.Targets; len(targets) != 1 || targets[0].Result != v1alpha1.TargetFailed {
		t.Errorf("got targets %+v, want one that failed", targets)
	}
	event := w.targetEvents("web", 1)[0]
	if event.Type != "Warning" || event.Reason != "RefRequestFailed" || event.Related == nil ||
		event.Related.Name != answered.Name {
		t.Errorf("got Event %s %s related to %v, want Warning RefRequestFailed of %s", event.Type, event.Reason,
			event.Related, answered.Name)
	}
	mustBeIn(t, event.Note, `generic requested "v1"`, "broken.example.com")
	w.mustBeUntouched(gatewaySyncs, before)

	// The delivery is final: when the target can be written again it is not retried, unless it is redelivered.
	mend()
	w.eventually(func() error {
		_, err := w.Kubectl(t.Context(), "", "--namespace="+w.Namespace, "annotate", "--dry-run=server", "gatewaysync",
			"web", "a=b")
		return err
	})
	w.mustBeUntouched(gatewaySyncs, before)
	checkOutcome(t, w.redeliver(answered.Name), v1alpha1.DeliveryApplied, "Requested")
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
}

func TestRetry_NextProcessContinues(t *testing.T) {
	s := newSuite(t)
	w := s.newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("other")
	ci := w.ci()
	mend := w.breakOff(gatewaySyncs, "web")
	answered := w.deliver(delivery("answered", toWeb+", ref: v1"))
	checkPending(t, answered, "v1")
	w.untilRecorded("answered", v1alpha1.DeliveryPending, "TargetUnavailable")
	ended := w.underWay(ci, "other", "v2")

	if err := s.postern.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	mend()
	w.startPostern()

	for _, d := range w.records() {
		checkOutcome(t, w.concluded(d.Name), v1alpha1.DeliveryApplied, "Requested")
	}
	if got := len(w.records()); got != 2 {
		t.Errorf("got %d records, want 2", got)
	}
	w.checkRequested("web", "v1", "generic")
	w.checkRequested("other", "v2", "generic")
	w.deliver(delivery("after", toWeb+", ref: v3"))
	w.mustHold(gatewaySyncs, "web", requestedRef, "v3")
}

// underWay delivers to a GatewaySync and returns once the delivery is recorded but not answered. The channel is closed
// when the request has ended.
func (w *world) underWay(s sender, name, ref string) (ended <-chan struct{}) {
	w.T.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.post(context.WithoutCancel(w.T.Context()), gatewaySyncPath(name), []byte(`{"ref": "`+ref+`"}`), nil)
	}()
	w.eventually(func() error {
		list, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).List(w.T.Context(),
			metav1.ListOptions{
				FieldSelector: "spec.target.name=" + name,
			})
		switch {
		case err != nil:
			return err
		case len(list.Items) != 1 || list.Items[0].Status.Reason != "":
			return fmt.Errorf("there is no delivery to %s in flight", name)
		}
		return nil
	})
	return done
}
