// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
)

const (
	plantRepository = "https://github.com/example/plant.git"
	shopRepository  = "https://github.com/example/shop.git"

	eventTime       = "postern.dev/event-time"
	appRequestedRef = "postern.dev/requested-ref"
)

// earlier and later are event times.
const (
	earlier = "2026-03-04T05:06:07Z"
	later   = "2026-03-04T05:06:08Z"
)

// releaseOf returns GitHub's event of a release of a tag, published at that time.
func releaseOf(repository, tag, publishedAt string) string {
	return fmt.Sprintf(`{"action": "published", "release": {"tag_name": %q, "draft": false, "published_at": %q},
		"repository": {"clone_url": %q}}`, tag, publishedAt, repository)
}

// lastEvent is the event that a slot of an object was last written for.
type lastEvent struct {
	By             string
	Time, Received time.Time
}

// lastEvents reads the slots of an object.
func (w *world) lastEvents(resource schema.GroupVersionResource, name string) map[string]lastEvent {
	w.T.Helper()
	value := w.annotations(resource, name)[eventTime]
	var slots map[string]lastEvent
	if err := json.Unmarshal([]byte(value), &slots); err != nil {
		w.T.Fatalf("%s of %s %s is %q: %v", eventTime, resource.Resource, name, value, err)
	}
	return slots
}

// checkOutcome fails the test unless a delivery has this phase and reason.
func checkOutcome(t *testing.T, d *v1alpha1.WebhookDelivery, phase v1alpha1.DeliveryPhase, reason string) {
	t.Helper()
	if d.Status.Phase != phase || d.Status.Reason != reason {
		t.Errorf("delivery %s: got phase %s, reason %s (%s); want %s, %s", d.Name, d.Status.Phase, d.Status.Reason,
			d.Status.Message, phase, reason)
	}
}

func TestOrder_OlderReleaseIsSuperseded(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("shop", map[string]string{"postern.dev/update-target-revision": "true"})
	ci := w.ci()
	for _, test := range []struct {
		resource               schema.GroupVersionResource
		name, path, repository string
		kind                   v1alpha1.TargetKind
	}{
		{gatewaySyncs, "web", gatewaySyncPath("web"), plantRepository, v1alpha1.TargetGatewaySync},
		{applications, "shop", applicationPath("shop"), shopRepository, v1alpha1.TargetApplication},
	} {
		ci.mustPost(t, test.path, releaseOf(test.repository, "v2", later), nil, http.StatusAccepted)
		before := w.Get(test.resource, test.name)

		late := ci.mustPost(t, test.path, releaseOf(test.repository, "v1", earlier), nil,
			http.StatusAccepted).delivery(t)

		checkOutcome(t, late, v1alpha1.DeliverySuperseded, "Superseded")
		want := []v1alpha1.TargetResult{{
			Kind: test.kind, Name: test.name, Ref: "v1", PreviousRef: "v2", Result: v1alpha1.TargetSuperseded,
			Reason: "Superseded", Message: "the last written event happened later",
		}}
		if diff := cmp.Diff(want, late.Status.Targets, ignoreTimes); diff != "" {
			t.Errorf("status.targets (-want +got):\n%s", diff)
		}
		checkOutcome(t, w.concluded(late.Name), v1alpha1.DeliverySuperseded, "Superseded")
		w.mustBeUntouched(test.resource, before)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2")
	w.mustHold(applications, "shop", appRequestedRef, "v2")
	if got := in[string](w.Get(applications, "shop").Object, "spec", "source", "targetRevision"); got != "v2" {
		t.Errorf("got targetRevision %q, want v2, from the newer release", got)
	}
	if out := w.kubectl("", "get", "whd", "--field-selector=status.phase=Superseded", "--output=name"); len(out) == 0 {
		t.Error("kubectl finds no delivery by status.phase=Superseded")
	}
}

func TestOrder_EqualTimesByReceipt(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	for _, tag := range []string{"v2", "v1"} {
		d := ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, tag, later), nil,
			http.StatusAccepted).delivery(t)
		checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
		w.mustHold(gatewaySyncs, "web", requestedRef, tag)
	}
}

func TestOrder_SourcesAreIndependent(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v2", later), nil, http.StatusAccepted)

	gitLab := `{"object_kind": "release", "action": "create", "tag": "v1", "created_at": "2020-01-01 00:00:00 UTC",
		"project": {"git_http_url": "https://gitlab.example.com/example/plant.git"}}`
	d := ci.mustPost(t, gatewaySyncPath("web"), gitLab, map[string]string{"X-Gitlab-Event": "Release Hook"},
		http.StatusAccepted).delivery(t)

	checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
	w.checkRequested("web", "v1", "gitlab")
}

func TestOrder_FutureEventBlocksNoLater(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	d := ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v1", "2999-01-01T00:00:00Z"), nil,
		http.StatusAccepted).delivery(t)
	checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
	if last := w.lastEvents(gatewaySyncs, "web")["git"]; last.Time.After(time.Now()) {
		t.Errorf("the target has a time in the future, %s", last.Time)
	}

	now := time.Now().UTC().Format(time.RFC3339Nano)
	d = ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v2", now), nil,
		http.StatusAccepted).delivery(t)

	checkOutcome(t, d, v1alpha1.DeliveryApplied, "Requested")
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2")
}

func TestOrder_OlderImageUnderNewestBuild(t *testing.T) {
	w := newWorld(t)
	const shop = "argocd-image-updater.argoproj.io/shop."
	w.runningShop("newest", "harbor.example.com/team/shop:old", wantsHarborsShop+", "+shop+
		"update-strategy: newest-build")
	w.runningShop("semver", "harbor.example.com/team/shop:1.0.0", wantsHarborsShop)
	ci := w.ci()
	pushOf := func(tag string, at int) string {
		return fmt.Sprintf(`{"type": "PUSH_ARTIFACT", "occur_at": %d, "event_data": {
			"resources": [{"tag": %q, "resource_url": "harbor.example.com/team/shop:%s"}],
			"repository": {"repo_full_name": "team/shop"}}}`, at, tag, tag)
	}
	ci.mustPost(t, applicationPath("newest"), pushOf("1.1.0", 1772616645), nil, http.StatusAccepted)
	before := w.Get(applications, "newest")

	late := ci.mustPost(t, applicationPath("newest"), pushOf("1.2.0", 1772616644), nil, http.StatusAccepted).delivery(t)

	checkOutcome(t, late, v1alpha1.DeliverySuperseded, "Superseded")
	w.mustBeUntouched(applications, before)
	w.checkImages("newest", "harbor.example.com/team/shop:1.1.0")
	last := w.lastEvents(applications, "newest")["image/shop"]
	if want := time.Unix(1772616645, 0).UTC(); last.By != "harbor" || !last.Time.Equal(want) {
		t.Errorf("got last event %+v, want harbor's at %s", last, want)
	}

	// With semver a higher version wins, however late it arrives.
	ci.mustPost(t, applicationPath("semver"), pushOf("1.1.0", 1772616645), nil, http.StatusAccepted)
	ci.mustPost(t, applicationPath("semver"), pushOf("1.2.0", 1772616644), nil, http.StatusAccepted)
	w.checkImages("semver", "harbor.example.com/team/shop:1.2.0")
}
