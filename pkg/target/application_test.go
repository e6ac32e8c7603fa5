// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

func TestDecideApplication_Annotates(t *testing.T) {
	request := Request{
		DeliveryEvent: &postern.DeliveryEvent{Ref: "main", Revision: "2222",
			Repository: "https://github.com/example/shop", Source: "github"},
		At: noon,
	}
	for _, test := range []struct {
		name        string
		annotations map[string]string
		request     Request
		want        Result
		wantPatch   string
	}{
		{
			name:    "the first request creates the annotations",
			request: request,
			want: Result{
				Changes: []Change{
					{Field: "postern.dev/requested-ref", New: "main"},
					{Field: "postern.dev/requested-revision", New: "2222"},
				},
				Held:    true,
				Reason:  "Requested",
				Message: `postern.dev/requested-ref set to "main"; postern.dev/requested-revision set to "2222"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations", "value": null},
				{"op": "test", "path": "/spec/sourceHydrator", "value": null},
				{"op": "add", "path": "/metadata/annotations", "value": {}},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "main"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": "2222"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-at",
					"value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-by", "value": "github"},
				{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh", "value": "normal"},
				{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp",
					"value": "2026-03-01T12:00:00.0000005Z"}
			]`,
		},
		{
			name: "a second push to the same branch asks Argo CD to refresh again",
			annotations: map[string]string{
				"postern.dev/requested-ref":            "main",
				"postern.dev/requested-revision":       "1111",
				"postern.dev/requested-at":             "2026-03-01T11:00:00Z",
				"postern.dev/requested-by":             "github",
				"argocd.argoproj.io/refresh":           "normal",
				"argocd.argoproj.io/refresh-timestamp": "2026-03-01T11:00:00Z",
			},
			request: request,
			want: Result{
				Changes:  []Change{{Field: "postern.dev/requested-revision", Old: "1111", New: "2222"}},
				Previous: "main",
				Held:     true,
				Reason:   "Requested",
				Message:  `postern.dev/requested-revision "1111" → "2222"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "main"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1deploy-on", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1update-target-revision", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1hold", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": "1111"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-at",
					"value": "2026-03-01T11:00:00Z"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-by", "value": "github"},
				{"op": "test", "path": "/metadata/annotations/argocd.argoproj.io~1refresh", "value": "normal"},
				{"op": "test", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp",
					"value": "2026-03-01T11:00:00Z"},
				{"op": "test", "path": "/spec/sourceHydrator", "value": null},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": "2222"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-at",
					"value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp",
					"value": "2026-03-01T12:00:00.0000005Z"}
			]`,
		},
		{
			name: "the commit of an earlier request is removed, and its hard refresh is kept",
			annotations: map[string]string{
				"postern.dev/requested-ref":      "main",
				"postern.dev/requested-revision": "1111",
				"argocd.argoproj.io/refresh":     "hard",
			},
			request: Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "generic"}, At: noon},
			want: Result{
				Changes: []Change{
					{Field: "postern.dev/requested-ref", Old: "main", New: "v2"},
					{Field: "postern.dev/requested-revision", Old: "1111"},
				},
				Previous: "main",
				Held:     true,
				Reason:   "Requested",
				Message:  `postern.dev/requested-ref "main" → "v2"; postern.dev/requested-revision "1111" removed`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "main"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1deploy-on", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1update-target-revision", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1hold", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": "1111"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-at", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-by", "value": null},
				{"op": "test", "path": "/metadata/annotations/argocd.argoproj.io~1refresh", "value": "hard"},
				{"op": "test", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp", "value": null},
				{"op": "test", "path": "/spec/sourceHydrator", "value": null},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "v2"},
				{"op": "remove", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": null},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-at",
					"value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-by", "value": "generic"},
				{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp",
					"value": "2026-03-01T12:00:00.0000005Z"}
			]`,
		},
		{
			name: "the same ref at the same commit changes nothing at once",
			annotations: map[string]string{"postern.dev/requested-ref": "main",
				"postern.dev/requested-revision": "2222", "postern.dev/requested-at": "2026-03-01T11:59:57Z"},
			request: request,
			want: Result{Previous: "main", Held: true, Reason: "AlreadyRequested",
				Message: `postern.dev/requested-ref is "main" already`},
			wantPatch: `null`,
		},
		{
			name: "the same ref without a commit is requested again",
			annotations: map[string]string{"postern.dev/requested-ref": "main",
				"postern.dev/requested-at": "2026-03-01T11:59:57Z", "postern.dev/requested-by": "generic"},
			request: Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "main", Source: "generic"}, At: noon},
			want: Result{
				Changes: []Change{{Field: "postern.dev/requested-at", Old: "2026-03-01T11:59:57Z",
					New: "2026-03-01T12:00:00Z"}},
				Previous: "main", Held: true, Reason: "Requested",
				Message: `postern.dev/requested-at "2026-03-01T11:59:57Z" → "2026-03-01T12:00:00Z"`,
			},
			wantPatch: `[
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-ref", "value": "main"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1deploy-on", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1update-target-revision", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1event-time", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1hold", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-revision", "value": null},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-at",
					"value": "2026-03-01T11:59:57Z"},
				{"op": "test", "path": "/metadata/annotations/postern.dev~1requested-by", "value": "generic"},
				{"op": "test", "path": "/metadata/annotations/argocd.argoproj.io~1refresh", "value": null},
				{"op": "test", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp", "value": null},
				{"op": "test", "path": "/spec/sourceHydrator", "value": null},
				{"op": "add", "path": "/metadata/annotations/postern.dev~1requested-at",
					"value": "2026-03-01T12:00:00Z"},
				{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh", "value": "normal"},
				{"op": "add", "path": "/metadata/annotations/argocd.argoproj.io~1refresh-timestamp",
					"value": "2026-03-01T12:00:00.0000005Z"}
			]`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := decide(t, &argov1alpha1.Application{
				ObjectMeta: metav1.ObjectMeta{Annotations: test.annotations},
				Spec: argov1alpha1.ApplicationSpec{Source: new(source("https://github.com/example/shop",
					"v1"))},
			}, test.request)
			if diff := cmp.Diff(test.want, got.Result); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			expectPatch(t, test.wantPatch, got.Patch)
		})
	}
}
