// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// dryRun is the query of a request that must leave nothing.
const dryRun = "?dryRun=All"

// wouldSet returns the result of a dry run for GatewaySync web at ref v1.
func wouldSet(ref string) []v1alpha1.TargetResult {
	return []v1alpha1.TargetResult{{
		Kind: v1alpha1.TargetGatewaySync, Name: "web", Ref: ref, PreviousRef: "v1", Result: v1alpha1.TargetWritten,
		Reason: "Requested", Message: `stoker.io/requested-ref "v1" → "` + ref + `"`,
		Changes: []v1alpha1.FieldChange{{Field: "stoker.io/requested-ref", Old: "v1", New: ref}},
	}}
}

func TestDryRun_EveryEndpointLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.concluded(w.deliver(delivery("real", toWeb+", ref: v1")).Name)
	before := w.Get(gatewaySyncs, "web")
	w.targetEvents("web", 1)

	for path, answered := range map[string]func() *v1alpha1.WebhookDelivery{
		"object": func() *v1alpha1.WebhookDelivery {
			return w.deliver(delivery("try", toWeb+", ref: v2"), "--dry-run=server")
		},
		"by target": func() *v1alpha1.WebhookDelivery {
			return ci.mustPost(t, gatewaySyncPath("web")+dryRun, `{"ref": "v2"}`, nil, http.StatusAccepted).delivery(t)
		},
		"by target, with kubectl": func() *v1alpha1.WebhookDelivery {
			out := w.kubectl(`{"ref": "v2"}`, "create", "--raw="+w.absolute(gatewaySyncPath("web"))+dryRun,
				"--filename=-")
			return answer{body: []byte(out)}.delivery(t)
		},
	} {
		got := answered()
		if got.Status.Phase != v1alpha1.DeliveryApplied {
			t.Errorf("%s: got phase %q, want Applied", path, got.Status.Phase)
		}
		wantEvents := []v1alpha1.DeliveryEvent{{Source: "generic", Event: "request", Ref: "v2"}}
		if diff := cmp.Diff(wantEvents, got.Spec.Events); diff != "" {
			t.Errorf("%s: spec.events (-want +got):\n%s", path, diff)
		}
		if diff := cmp.Diff(wouldSet("v2"), got.Status.Targets, ignoreTimes); diff != "" {
			t.Errorf("%s: status.targets (-want +got):\n%s", path, diff)
		}
		w.mustBeUntouched(gatewaySyncs, before)
		w.mustHaveRecords("real")
	}

	// An Event of a dry run would precede the Event of a later delivery.
	w.deliver(delivery("real-2", toWeb+", ref: v3"))
	w.targetEvents("web", 2)
}

func TestDryRun_SameErrors(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.concluded(w.deliver(delivery("taken", toWeb+", ref: v1")).Name)
	before := w.Get(gatewaySyncs, "web")

	ci.mustPost(t, gatewaySyncPath("nothing")+dryRun, `{"ref": "v2"}`, nil, http.StatusNotFound)
	ci.mustPost(t, gatewaySyncPath("web")+dryRun, `{"ref": "a..b"}`, nil, http.StatusBadRequest)
	ci.mustPost(t, gatewaySyncPath("web")+"?dryRun=Some", `{"ref": "v2"}`, nil, http.StatusBadRequest)
	output := w.refused(delivery("taken", toWeb+", ref: v2"), "create", "--filename=-", "--dry-run=server")
	mustBeIn(t, output, "Error from server (AlreadyExists)")

	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords("taken")
}

func TestDryRun_PingIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	got := w.deliver(delivery("ping", toWeb+", payload: "+ping), "--dry-run=server")
	if got.Status.Phase != v1alpha1.DeliveryIgnored || got.Status.Reason != "Ping" {
		t.Errorf("got phase %q, reason %q; want Ignored, Ping", got.Status.Phase, got.Status.Reason)
	}
	w.mustHaveRecords()
}
