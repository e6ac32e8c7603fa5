// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

func TestWriter_Write(t *testing.T) {
	// times answers the first PATCH requests.
	times := func(count int, a *answer) func(*fakeAPIServer, string, int) *answer {
		return func(_ *fakeAPIServer, method string, n int) *answer {
			if method == http.MethodPatch && n <= count {
				return a
			}
			return nil
		}
	}
	const patch = "PATCH fieldManager=postern"
	requested := func(previous string) Result {
		return Result{
			Changes:  []Change{{Field: "stoker.io/requested-ref", Old: previous, New: "v2"}},
			Previous: previous,
			Held:     true,
			Reason:   "Requested",
			Message:  `stoker.io/requested-ref "` + previous + `" → "v2"`,
		}
	}

	for _, test := range []struct {
		name         string
		object       string
		before       func(*fakeAPIServer, string, int) *answer
		dryRun       bool
		want         Result
		wantRequests []string
	}{
		{
			name:         "reads and patches",
			object:       plantAt("v1"),
			want:         requested("v1"),
			wantRequests: []string{"GET", patch},
		},
		{
			name:   "writes nothing if the target holds the ref",
			object: plantAt("v2"),
			want: Result{Previous: "v2", Held: true, Reason: "AlreadyRequested",
				Message: `stoker.io/requested-ref is "v2" already`},
			wantRequests: []string{"GET"},
		},
		{
			name:         "patches and stores nothing in a dry run",
			object:       plantAt("v1"),
			dryRun:       true,
			want:         requested("v1"),
			wantRequests: []string{"GET", "PATCH dryRun=All&fieldManager=postern"},
		},
		{
			name:   "decides again if another client writes meanwhile",
			object: plantAt("v1"),
			before: func(api *fakeAPIServer, method string, n int) *answer {
				if method == http.MethodPatch && n == 1 {
					api.set(plantAt("v1.5"))
				}
				return nil
			},
			want:         requested("v1.5"),
			wantRequests: []string{"GET", patch, "GET", patch},
		},
		{
			name:         "retries a conflict",
			object:       plantAt("v1"),
			before:       times(1, conflict),
			want:         requested("v1"),
			wantRequests: []string{"GET", patch, "GET", patch},
		},
		{
			name:         "retries when the API server is unavailable",
			object:       plantAt("v1"),
			before:       times(2, unavailable),
			want:         requested("v1"),
			wantRequests: []string{"GET", patch, "GET", patch, "GET", patch},
		},
		{
			name:   "retries a failed read",
			object: plantAt("v1"),
			before: func(_ *fakeAPIServer, method string, n int) *answer {
				if method == http.MethodGet && n == 1 {
					return broken
				}
				return nil
			},
			want:         requested("v1"),
			wantRequests: []string{"GET", "GET", patch},
		},
		{
			name:   "recognizes its own write whose answer was lost",
			object: plantAt("v1"),
			before: func(api *fakeAPIServer, method string, n int) *answer {
				if method == http.MethodPatch && n == 1 {
					api.set(plantAt("v2"))
					return broken
				}
				return nil
			},
			want:         requested("v1"),
			wantRequests: []string{"GET", patch, "GET"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPIServer(t, test.object)
			api.before = test.before
			writer, _ := newTestWriter(t, api, nil)

			got, err := writeOne(t.Context(), writer, plant,
				Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "github"}, At: noon}, test.dryRun)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			requests, object := api.seen()
			if diff := cmp.Diff(test.wantRequests, requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if kept := strings.Contains(object, `"v2"`); kept == test.dryRun {
				t.Errorf("the API server holds %s", object)
			}
		})
	}
}
