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
				Changes:  []Change{{Field: "stoker.io/requested-ref", New: "v2.0.0"}},
				Previous: "v1.0.0",
				Held:     true,
				Reason:   "Requested",
				Message:  `stoker.io/requested-ref set to "v2.0.0"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations", "value": null},
				{"op": "add", "path": "/metadata/annotations", "value": {}},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2.0.0"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-at", "value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "github"}
			]`,
		},
		{
			name:        "other annotations stay, and ours must still be missing",
			annotations: map[string]string{"team": "plant"},
			want: Result{
				Changes:  []Change{{Field: "stoker.io/requested-ref", New: "v2.0.0"}},
				Previous: "v1.0.0",
				Held:     true,
				Reason:   "Requested",
				Message:  `stoker.io/requested-ref set to "v2.0.0"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-at", "value": null},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-by", "value": null},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2.0.0"},
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
				Changes:  []Change{{Field: "stoker.io/requested-ref", Old: "v1.5.0", New: "v2.0.0"}},
				Previous: "v1.5.0",
				Held:     true,
				Reason:   "Requested",
				Message:  `stoker.io/requested-ref "v1.5.0" → "v2.0.0"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v1.5.0"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-at",
					"value": "2026-02-01T12:00:00Z"},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "github"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2.0.0"},
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
				Changes:  []Change{{Field: "stoker.io/requested-ref", New: "v2.0.0"}},
				Previous: "v1.0.0",
				Held:     true,
				Reason:   "Requested",
				Message:  `stoker.io/requested-ref set to "v2.0.0"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-at",
					"value": "2026-02-01T12:00:00Z"},
				{"op": "test", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "kargo"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-ref", "value": "v2.0.0"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-at", "value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/stoker.io~1requested-by", "value": "github"}
			]`,
		},
		{
			name: "the same ref changes nothing, the time included",
			annotations: map[string]string{
				"stoker.io/requested-ref": "v2.0.0",
				"stoker.io/requested-at":  "2026-02-01T12:00:00Z",
				"stoker.io/requested-by":  "kargo",
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
