// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// changes returns the rest of a mutating policy's spec that applies a JSON patch to each delivery.
func changes(jsonPatch string) string {
	return `
  reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: "` + jsonPatch + `"}
`
}

// stripPrefix changes release-v1 to v1. In a list with listType=atomic only one element at a time can be addressed.
const stripPrefix = `object.spec.events.size() == 0 ? [] : [JSONPatch{op: 'replace', path: '/spec/events/0/ref',` +
	` value: object.spec.events[0].ref.replace('release-', '')}]`

func tried(ref string) func(answer) error {
	return func(a answer) error {
		if err := answeredWith(http.StatusAccepted)(a); err != nil {
			return err
		}
		var d v1alpha1.WebhookDelivery
		if err := json.Unmarshal(a.body, &d); err != nil {
			return err
		}
		if len(d.Spec.Events) != 1 || d.Spec.Events[0].Ref != ref {
			return fmt.Errorf("got events %v, want one of ref %q", d.Spec.Events, ref)
		}
		return nil
	}
}

func TestAdmission_MutationAtEveryEndpoint(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("api")
	ci := w.ci()
	w.policy("MutatingAdmissionPolicy", changes(stripPrefix), "")
	w.untilTried(ci, `{"ref": "release-v1"}`, tried("v1"))

	raw := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "release-v2"}`, nil, http.StatusAccepted).delivery(t)
	object := w.deliver(delivery("by-hand", "target: {kind: GatewaySync, name: api}, ref: release-v3"))

	for target, test := range map[string]struct {
		delivery string
		ref      string
	}{
		"web": {raw.Name, "v2"},
		"api": {object.Name, "v3"},
	} {
		w.checkRequested(target, test.ref, "generic")
		got := w.concluded(test.delivery)
		wantEvents := []v1alpha1.DeliveryEvent{{Source: "generic", Event: "request", Ref: test.ref}}
		if diff := cmp.Diff(wantEvents, got.Spec.Events); diff != "" {
			t.Errorf("%s: spec.events (-want +got):\n%s", target, diff)
		}
		wantTargets := []v1alpha1.TargetResult{{
			Kind: v1alpha1.TargetGatewaySync, Name: target, Ref: test.ref, PreviousRef: "main",
			Result: v1alpha1.TargetWritten,
			Reason: "Requested", Message: fmt.Sprintf("stoker.io/requested-ref set to %q", test.ref),
			Changes: []v1alpha1.FieldChange{{Field: "stoker.io/requested-ref", New: test.ref}},
		}}
		if diff := cmp.Diff(wantTargets, got.Status.Targets, ignoreTimes); diff != "" {
			t.Errorf("%s: status.targets (-want +got):\n%s", target, diff)
		}
	}
}

func TestAdmission_MutationKeepsDigestAndTime(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.policy("MutatingAdmissionPolicy", changes(stripPrefix), "")
	w.untilTried(ci, `{"ref": "release-v1"}`, tried("v1"))

	name := ci.mustPost(t, gatewaySyncPath("web"), release, nil, http.StatusAccepted).delivery(t).Name

	got := w.concluded(name)
	if diff := cmp.Diff([]v1alpha1.DeliveryEvent{releaseEvent}, got.Spec.Events); diff != "" {
		t.Errorf("spec.events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(digestOf(release), got.Status.Payload); diff != "" {
		t.Errorf("status.payload (-want +got):\n%s", diff)
	}
}

func TestAdmission_MutationMayAddLabels(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.policy("MutatingAdmissionPolicy", `
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'team': 'plant'}}}"}
`, "")
	w.untilTried(ci, `{"ref": "v1"}`, func(a answer) error {
		var d v1alpha1.WebhookDelivery
		if err := json.Unmarshal(a.body, &d); err != nil {
			return err
		}
		if d.Labels["team"] != "plant" {
			return fmt.Errorf("got %d, labels %v", a.code, d.Labels)
		}
		return nil
	})

	raw := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted).delivery(t).Name
	w.deliver(delivery("by-hand", toWeb+", ref: v2"))

	got := w.kubectl("", "get", "whd", "--selector=team=plant", "--output=jsonpath={.items[*].metadata.name}")
	if want := "by-hand " + raw; got != want {
		t.Errorf("deliveries with the label: got %q, want %q", got, want)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2")
}

func TestAdmission_MutationWithoutEventsIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.policy("MutatingAdmissionPolicy", changes("[JSONPatch{op: 'replace', path: '/spec/events', value: []}]"), "")
	before := w.Get(gatewaySyncs, "web")
	ignored := func(a answer) error {
		var d v1alpha1.WebhookDelivery
		if err := json.Unmarshal(a.body, &d); err != nil {
			return err
		}
		if d.Status.Phase != v1alpha1.DeliveryIgnored || d.Status.Reason != "NothingRequested" {
			return fmt.Errorf("got %d, phase %q, reason %q; want Ignored, NothingRequested", a.code, d.Status.Phase,
				d.Status.Reason)
		}
		return nil
	}
	w.untilTried(ci, `{"ref": "v1"}`, ignored)

	if err := ignored(ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted)); err != nil {
		t.Error(err)
	}
	w.deliver(delivery("by-hand", toWeb+", ref: v2"))
	if got := w.concluded("by-hand").Status.Phase; got != v1alpha1.DeliveryIgnored {
		t.Errorf("by hand: got phase %q, want Ignored", got)
	}
	w.mustBeUntouched(gatewaySyncs, before)
}

func TestAdmission_MutationMayNotReplaceDelivery(t *testing.T) {
	const only = "admission may change spec.events, labels and annotations only"
	for name, test := range map[string]struct{ patch, want string }{
		"target": {
			"[JSONPatch{op: 'replace', path: '/spec/target/name', value: 'api'}]",
			"spec: Forbidden: " + only,
		},
		"source": {
			"[JSONPatch{op: 'replace', path: '/spec/source', value: 'github'}]",
			"spec: Forbidden: " + only,
		},
		"sender": {
			"[JSONPatch{op: 'replace', path: '/status/sender/name', value: 'other'}]",
			"status: Forbidden: " + only,
		},
		"bad ref": {
			"[JSONPatch{op: 'replace', path: '/spec/events/0/ref', value: 'a..b'}]",
			`spec.events[0].ref: Invalid value: "a..b"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gatewaySync("web")
			w.gatewaySync("api")
			ci := w.ci()
			w.policy("MutatingAdmissionPolicy", changes(test.patch), "")
			web, api := w.Get(gatewaySyncs, "web"), w.Get(gatewaySyncs, "api")
			w.untilTried(ci, `{"ref": "v1"}`, answeredWith(http.StatusUnprocessableEntity))

			status := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil,
				http.StatusUnprocessableEntity).status(t)
			mustBeIn(t, status.Message, test.want)
			mustBeIn(t, w.refused(delivery("changed", toWeb+", ref: v1"), "create", "--filename=-"), test.want)

			w.mustBeUntouched(gatewaySyncs, web)
			w.mustBeUntouched(gatewaySyncs, api)
			w.mustHaveRecords()
		})
	}
}

func TestAdmission_ValidationAfterMutation(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.policy("MutatingAdmissionPolicy", changes(stripPrefix), "")
	w.policy("ValidatingAdmissionPolicy", onlyVersions, "validationActions: [Deny]")
	w.untilTried(ci, `{"ref": "main"}`, answeredWith(http.StatusUnprocessableEntity))
	w.untilTried(ci, `{"ref": "release-v1"}`, tried("v1"))
	w.untilTried(ci, `{"ref": "release-1"}`, answeredWith(http.StatusUnprocessableEntity))
}
