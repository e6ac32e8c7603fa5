// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

func TestResolve_ReadsTargetForNextWrite(t *testing.T) {
	const get, patch = "GET", "PATCH fieldManager=postern"
	api := newFakeAPIServer(t, plantAt("v1"))
	writer, _ := newTestWriter(t, api, nil)
	deliver := func(when string, meanwhile func(), want string, wantRequests ...string) {
		t.Helper()
		before, _ := api.seen()
		if err := writer.Resolve(t.Context(), plant, false); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		meanwhile()
		r := Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "github"}, At: noon}
		if got, err := writeOne(t.Context(), writer, plant, r, false); err != nil || got.Reason != want {
			t.Errorf("%s: got %+v, %v, want reason %s", when, got, err, want)
		}
		requests, object := api.seen()
		if diff := cmp.Diff(wantRequests, requests[len(before):]); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", when, diff)
		}
		if got := requestedIn(parse(t, postern.TargetGatewaySync, object)); got != "v2" {
			t.Errorf("%s: holds %q", when, got)
		}
	}
	change := func(object string) func() {
		return func() {
			api.mu.Lock()
			defer api.mu.Unlock()
			api.set(object)
		}
	}
	deliver("the target changes", func() {}, ReasonRequested, get, patch)
	deliver("it holds the ref", func() {}, ReasonAlreadyRequested, get, get)
	deliver("it held the ref when it was resolved", change(plantAt("v3")), ReasonRequested, get, get, patch)
	change(plantAt("v1"))()
	deliver("it changed after it was resolved", change(plantAt("v3")), ReasonRequested, get, patch, get, patch)
}

// A target that is deleted right after a delivery must not be found for the next one.
func TestResolve_AsksAgainForEachDelivery(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	writer, _ := newTestWriter(t, api, nil)
	for range 2 {
		if err := writer.Resolve(t.Context(), plant, false); err != nil {
			t.Fatal(err)
		}
	}
	if requests, _ := api.seen(); len(requests) != 2 {
		t.Errorf("got requests %v, want one for each call", requests)
	}
}
