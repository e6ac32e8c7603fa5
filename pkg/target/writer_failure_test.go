// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

func TestWriter_Failures(t *testing.T) {
	for _, test := range []struct {
		name         string
		key          postern.TargetKey
		get, patch   *answer
		closed       bool
		want         string
		notFound     bool
		transient    bool
		wantRequests int
		wantPauses   int
	}{
		{
			name: "a missing object is not found", key: plant, get: noObject,
			want:     `could not write GatewaySync demo/plant: gatewaysyncs.stoker.io "plant" not found`,
			notFound: true, wantRequests: 1,
		},
		{
			name: "an object that goes away is not found", key: plant, patch: noObject,
			want:     `could not write GatewaySync demo/plant: gatewaysyncs.stoker.io "plant" not found`,
			notFound: true, wantRequests: 2,
		},
		{
			name: "a missing kind is not found, and the error says so", key: plant, get: noKind,
			want: "could not write GatewaySync demo/plant: GatewaySync is not installed in this cluster: " +
				"the server could not find the requested resource (get gatewaysyncs.stoker.io plant)",
			notFound: true, wantRequests: 1,
		},
		{
			name: "an object that is forbidden to read is not missing", key: plant, get: forbidden,
			want:         "could not write GatewaySync demo/plant: gatewaysyncs.stoker.io is forbidden",
			wantRequests: 1,
		},
		{
			name: "a forbidden write is not retried", key: plant, patch: forbidden,
			want:         "could not write GatewaySync demo/plant: gatewaysyncs.stoker.io is forbidden",
			wantRequests: 2,
		},
		{
			name: "an invalid object is not a failed test", key: plant, patch: invalid,
			want:         `could not write GatewaySync demo/plant: Application.argoproj.io "x" is invalid`,
			wantRequests: 2,
		},
		{
			name: "a test that fails although nothing changed is not retried forever", key: plant, patch: testFailed,
			want: "could not write GatewaySync demo/plant: " +
				"the API server rejects the patch although its tests match the object that was read: " +
				"the server rejected our request due to an error in our request",
			wantRequests: 4, wantPauses: 1,
		},
		{
			name: "an unavailable API server is transient", key: plant, get: unavailable,
			want: "could not write GatewaySync demo/plant: the server is currently unable to handle the request" +
				" (get gatewaysyncs.stoker.io plant)",
			transient: true, wantRequests: 6, wantPauses: 5,
		},
		{
			name: "repeated conflicts are transient", key: plant, patch: conflict,
			want:      "could not write GatewaySync demo/plant: the object has been modified",
			transient: true, wantRequests: 12, wantPauses: 5,
		},
		{
			name: "broken connections are transient", key: plant, get: broken,
			want:      "EOF",
			transient: true, wantRequests: 6, wantPauses: 5,
		},
		{
			name: "an API server that refuses connections is transient", key: plant, closed: true,
			want:      "connection refused",
			transient: true, wantPauses: 5,
		},
		{
			name: "an unknown kind", key: postern.TargetKey{Kind: "Deployment", Namespace: "demo", Name: "plant"},
			want: "could not write Deployment demo/plant: a ref cannot be written to this kind",
		},
		{
			name: "an invalid name", key: postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: "demo",
				Name: "../secrets/x"},
			want: "invalid resource name",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPIServer(t, plantAt("v1"))
			api.before = func(_ *fakeAPIServer, method string, _ int) *answer {
				if method == http.MethodGet {
					return test.get
				}
				return test.patch
			}
			if test.closed {
				api.Close()
			}
			writer, pauses := newTestWriter(t, api, nil)

			_, err := writeOne(t.Context(), writer, test.key,
				Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon}, false)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error\n%v\nwant\n%s", err, test.want)
			}
			if got := apierrors.IsNotFound(err); got != test.notFound {
				t.Errorf("not found: %v, want %v", got, test.notFound)
			}
			if got := IsTransient(err); got != test.transient {
				t.Errorf("transient: %v, want %v", got, test.transient)
			}
			if requests, _ := api.seen(); len(requests) != test.wantRequests || len(*pauses) != test.wantPauses {
				t.Errorf("got %d requests and %d pauses, want %d and %d",
					len(requests), len(*pauses), test.wantRequests, test.wantPauses)
			}
		})
	}
}

func TestWriter_GivesUpOnConflicts(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.before = func(api *fakeAPIServer, method string, n int) *answer {
		if method == http.MethodPatch {
			api.set(plantAt(strings.Repeat("x", n)))
		}
		return nil
	}
	writer, _ := newTestWriter(t, api, nil)
	_, err := writeOne(t.Context(), writer, plant, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon},
		false)
	if requests, _ := api.seen(); !IsTransient(err) || len(requests) != 12 {
		t.Errorf("got %d requests and error %v", len(requests), err)
	}
}

// Our own patch may have been applied before theirs. Applying it again would undo theirs.
func TestWriter_AmbiguousWriteYieldsToLater(t *testing.T) {
	plantFor := func(r Request) string {
		return mustApply(t, plantAt(r.Ref), []operation{{Op: "add",
			Path: "/metadata/annotations/postern.dev~1event-time", Value: kept(r)}})
	}
	ours := event("v2", "generic", 0, 20)
	for _, test := range []struct {
		name   string
		answer *answer
		theirs Request
		want   string
	}{
		{"no answer, and later", broken, event("v3", "generic", 0, 21), ReasonSuperseded},
		{"no answer from the backend, and later", unavailable, event("v3", "generic", 0, 21), ReasonSuperseded},
		{"no answer, and earlier", broken, event("v1", "generic", 0, 19), ReasonRequested},
		{"not applied, and later", conflict, event("v3", "generic", 0, 21), ReasonSuperseded},
		{"not applied, and earlier", conflict, event("v1", "generic", 0, 19), ReasonRequested},
	} {
		api := newFakeAPIServer(t, plantAt("v0"))
		api.before = func(api *fakeAPIServer, method string, n int) *answer {
			if method == http.MethodPatch && n == 1 {
				api.set(plantFor(test.theirs))
				return test.answer
			}
			return nil
		}
		writer, _ := newTestWriter(t, api, nil)
		got, err := writeOne(t.Context(), writer, plant, ours, false)
		if err != nil || got.Reason != test.want {
			t.Errorf("%s: got %+v, %v; want %s", test.name, got, err, test.want)
		}
	}
}

// The write is in its own goroutine, from which no server recovers.
func TestWriter_PanicInDryRun(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.before = func(*fakeAPIServer, string, int) *answer { return unavailable }
	writer, _ := newTestWriter(t, api, nil)
	writer.sleep = func(context.Context, time.Duration) error { panic("index out of range") }
	_, err := writeOne(t.Context(), writer, plant, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon},
		true)
	const want = "could not write GatewaySync demo/plant: internal error, see Postern's log"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
