// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

func TestDecideGatewaySync(t *testing.T) {
	request := Request{
		DeliveryEvent: &postern.DeliveryEvent{Ref: "v2.0.0", Revision: "9f1c",
			Repository: "https://github.com/example/plant", Source: "github"},
		At: noon,
	}
	for _, test := range []struct {
		name        string
		annotations map[string]string
		want        Result
		wantPatch   string
	}{
		{
			name: "the first request creates the annotations",
			want: Result{
				Changes: []Change{{Field: "stoker.io/requested-ref", New: "v2.0.0"},
					{Field: "postern.dev/requested-revision", New: "9f1c"}},
				Previous: "v1.0.0",
				Held:     true,
				Reason:   "Requested",
				Message:  `stoker.io/requested-ref set to "v2.0.0"; postern.dev/requested-revision set to "9f1c"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations", "value": null},
				{"op": "add", "path": "/metadata/annotations", "value": {}},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2.0.0"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": "9f1c"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-at", "value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "github"}
			]`,
		},
		{
			name:        "other annotations stay, and ours must still be missing",
			annotations: map[string]string{"team": "plant"},
			want: Result{
				Changes: []Change{{Field: "stoker.io/requested-ref", New: "v2.0.0"},
					{Field: "postern.dev/requested-revision", New: "9f1c"}},
				Previous: "v1.0.0",
				Held:     true,
				Reason:   "Requested",
				Message:  `stoker.io/requested-ref set to "v2.0.0"; postern.dev/requested-revision set to "9f1c"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1deploy-on", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1hold", "value": null},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-at", "value": null},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-by", "value": null},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2.0.0"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": "9f1c"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-at", "value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "github"}
			]`,
		},
		{
			name: "another ref is replaced if it is still the one that was read",
			annotations: map[string]string{
				"stoker.io/requested-ref": "v1.5.0",
				"stoker.io/requested-at":  "2026-02-01T12:00:00Z",
				"stoker.io/requested-by":  "github",
			},
			want: Result{
				Changes: []Change{{Field: "stoker.io/requested-ref", Old: "v1.5.0", New: "v2.0.0"},
					{Field: "postern.dev/requested-revision", New: "9f1c"}},
				Previous: "v1.5.0",
				Held:     true,
				Reason:   "Requested",
				Message:  `stoker.io/requested-ref "v1.5.0" → "v2.0.0"; postern.dev/requested-revision set to "9f1c"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v1.5.0"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1deploy-on", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1hold", "value": null},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-at",
					"value": "2026-02-01T12:00:00Z"},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "github"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2.0.0"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": "9f1c"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-at", "value": "2026-03-01T12:00:00Z"}
			]`,
		},
		{
			name: "annotations that Stoker left when it removed the ref are replaced",
			annotations: map[string]string{
				"stoker.io/requested-at": "2026-02-01T12:00:00Z",
				"stoker.io/requested-by": "kargo",
			},
			want: Result{
				Changes: []Change{{Field: "stoker.io/requested-ref", New: "v2.0.0"},
					{Field: "postern.dev/requested-revision", New: "9f1c"}},
				Previous: "v1.0.0",
				Held:     true,
				Reason:   "Requested",
				Message:  `stoker.io/requested-ref set to "v2.0.0"; postern.dev/requested-revision set to "9f1c"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1deploy-on", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1hold", "value": null},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-at",
					"value": "2026-02-01T12:00:00Z"},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "kargo"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2.0.0"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": "9f1c"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-at", "value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "github"}
			]`,
		},
		{
			name: "the same ref and commit change nothing, the time included",
			annotations: map[string]string{
				"stoker.io/requested-ref":        "v2.0.0",
				"postern.dev/requested-revision": "9f1c",
				"stoker.io/requested-at":         "2026-02-01T12:00:00Z",
				"stoker.io/requested-by":         "kargo",
			},
			want: Result{
				Previous: "v2.0.0",
				Held:     true,
				Reason:   "AlreadyRequested",
				Message:  `stoker.io/requested-ref is "v2.0.0" already`,
			},
			wantPatch: `null`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := decide(t, &stokerv1alpha1.GatewaySync{
				ObjectMeta: metav1.ObjectMeta{Annotations: test.annotations},
				Spec:       stokerv1alpha1.GatewaySyncSpec{Git: stokerv1alpha1.GitSpec{Ref: "v1.0.0"}},
			}, request)
			if diff := cmp.Diff(test.want, got.Result); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			expectPatch(t, test.wantPatch, got.Patch)
		})
	}
}

func TestDecideGatewaySync_HeldRefIsRequestedAgainOnNews(t *testing.T) {
	held := map[string]string{
		"stoker.io/requested-ref": "main", "postern.dev/requested-revision": "1111",
		"stoker.io/requested-at": "2026-02-01T12:00:00Z", "stoker.io/requested-by": "github",
	}
	atCommit := func(revision string) Request {
		return withEvent(event("main", "github", 10, 11), func(e *postern.DeliveryEvent) { e.Revision = revision })
	}
	const again = "2026-03-01T12:00:00Z"
	for name, test := range map[string]struct {
		request Request
		change  Change // zero: none
		// at and revision are held in the end.
		at, revision string
	}{
		"another commit":  {atCommit("2222"), Change{"postern.dev/requested-revision", "1111", "2222"}, again, "2222"},
		"the same commit": {atCommit("1111"), Change{}, "2026-02-01T12:00:00Z", "1111"},
		"no commit":       {atCommit(""), Change{}, "2026-02-01T12:00:00Z", "1111"},
		"the same commit, on purpose": {onPurpose(atCommit("1111")),
			Change{"stoker.io/requested-at", "2026-02-01T12:00:00Z", again}, again, "1111"},
		"no commit, on purpose": {onPurpose(atCommit("")),
			Change{"postern.dev/requested-revision", "1111", ""}, again, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := encode(t, syncOf(held, "v1"))
			got := decide(t, syncOf(held, "v1"), test.request)
			var changes []Change
			if test.change != (Change{}) {
				changes = []Change{test.change}
			}
			if diff := cmp.Diff(changes, got.Changes); diff != "" || !got.Held {
				t.Errorf("held: %t, changes (-want +got):\n%s", got.Held, diff)
			}
			after := mustApply(t, before, got.Patch)
			annotations := parse(t, postern.TargetGatewaySync, after).GetAnnotations()
			if annotations["stoker.io/requested-ref"] != "main" || annotations["stoker.io/requested-at"] != test.at ||
				annotations["postern.dev/requested-revision"] != test.revision {
				t.Errorf("got %v", annotations)
			}
			repeat := decide(t, parse(t, postern.TargetGatewaySync, after), test.request)
			if len(repeat.Changes) > 0 || len(repeat.Patch) > 0 || !repeat.Held {
				t.Errorf("the repeat resulted in %+v", repeat)
			}
		})
	}
}
