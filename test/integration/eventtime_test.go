// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

func TestEventTime_LatestPerSlot(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("shop", nil)
	ci := w.ci()
	published, err := time.Parse(time.RFC3339, later)
	if err != nil {
		t.Fatal(err)
	}

	toSync := ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v2", later), nil,
		http.StatusAccepted).delivery(t)
	toApp := ci.mustPost(t, applicationPath("shop"), releaseOf(shopRepository, "v2", later), nil,
		http.StatusAccepted).delivery(t)

	want := map[string]lastEvent{"git": {By: "github", Time: published, Received: toSync.Status.ReceivedTime.UTC()}}
	if diff := cmp.Diff(want, w.lastEvents(gatewaySyncs, "web")); diff != "" {
		t.Errorf("GatewaySync (-want +got):\n%s", diff)
	}
	want = map[string]lastEvent{"git/github.com/example/shop": {By: "github", Time: published,
		Received: toApp.Status.ReceivedTime.UTC()}}
	if diff := cmp.Diff(want, w.lastEvents(applications, "shop")); diff != "" {
		t.Errorf("Application (-want +got):\n%s", diff)
	}

	// A delivery without a time writes none, and is not compared with any.
	byHand := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted).delivery(t)
	want = map[string]lastEvent{"git": {By: "generic", Received: byHand.Status.ReceivedTime.UTC()}}
	if diff := cmp.Diff(want, w.lastEvents(gatewaySyncs, "web")); diff != "" {
		t.Errorf("GatewaySync after a delivery without a time (-want +got):\n%s", diff)
	}
	again := ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v0", earlier), nil,
		http.StatusAccepted).delivery(t)
	checkOutcome(t, again, v1alpha1.DeliveryApplied, "Requested")
}

func TestEventTime_UnreadableIsIgnored(t *testing.T) {
	w := newWorld(t)
	ci := w.ci()
	for i, broken := range []string{"", "yesterday", "[]", "null", `{"git": 7}`,
		`{"git": {"by": "github", "time": "soon"}}`} {
		name := fmt.Sprintf("web-%d", i)
		obj := w.Create(gatewaySyncs, testcluster.GatewaySync(name))
		w.annotated(gatewaySyncs, obj, map[string]string{eventTime: broken})
		d := ci.mustPost(t, gatewaySyncPath(name), releaseOf(plantRepository, "v2", later), nil,
			http.StatusAccepted).delivery(t)
		checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
		if last := w.lastEvents(gatewaySyncs, name)["git"]; last.By != "github" {
			t.Errorf("%s %q: got %+v, want GitHub's", eventTime, broken, last)
		}
	}
}

// If another client wrote the ref, or a Postern that did not record times, a request for the same ref changes nothing.
// Otherwise each delivery of the current ref would write the object.
func TestEventTime_EqualRefWithoutTime(t *testing.T) {
	w := newWorld(t)
	ci := w.ci()
	sync := w.annotated(gatewaySyncs, w.Create(gatewaySyncs, testcluster.GatewaySync("web")), map[string]string{
		requestedRef: "v2", requestedAt: "2020-01-01T00:00:00Z", requestedBy: "github",
	})

	for _, at := range []string{later, earlier, "2999-01-01T00:00:00Z"} {
		d := ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v2", at), nil,
			http.StatusAccepted).delivery(t)
		checkOutcome(t, d, v1alpha1.DeliveryApplied, "AlreadyRequested")
	}

	w.mustBeUntouched(gatewaySyncs, sync)
}

func TestEventTime_EqualRefOfLaterEvent(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v1", "2026-03-04T05:06:06Z"), nil,
		http.StatusAccepted)
	before := w.annotations(gatewaySyncs, "web")

	ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v1", later), nil, http.StatusAccepted)
	after := w.annotations(gatewaySyncs, "web")
	between := ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v2", earlier), nil,
		http.StatusAccepted).delivery(t)

	checkOutcome(t, between, v1alpha1.DeliverySuperseded, "Superseded")
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
	delete(before, eventTime)
	delete(after, eventTime)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("other annotations changed (-before +after):\n%s", diff)
	}
}
