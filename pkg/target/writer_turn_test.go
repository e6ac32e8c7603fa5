// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

func TestTurns_PlanningOnly(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		api := newFakeAPIServer(t, plantAt("v1"))
		writer, _ := newTestWriter(t, api, nil)
		var events []string
		api.before = func(_ *fakeAPIServer, method string, n int) *answer {
			events = append(events, method)
			if method == http.MethodPatch && n == 1 {
				return conflict
			}
			return nil
		}
		writer.Turn = func(_ context.Context, namespace string, _ bool) (end func(), err error) {
			events = append(events, "turn of "+namespace)
			return func() { events = append(events, "end") }, nil
		}
		got, err := writeOne(t.Context(), writer, plant,
			Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon}, dryRun)
		if err != nil || got.Reason != ReasonRequested {
			t.Errorf("got %+v, %v", got, err)
		}
		once := []string{"GET", "turn of demo", "end", "PATCH"}
		if diff := cmp.Diff(append(once, once...), events); diff != "" {
			t.Errorf("dry run %v (-want +got):\n%s", dryRun, diff)
		}
	}
}

func TestTurns_PlanOnCache(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.serve(gatewaySyncs, &answer{text: plantAt("v1")})
	cache := startCache(t, api)
	eventually(t, "ready", func() bool { return cache.Ready() == nil })
	writer, _ := newTestWriter(t, api, cache)
	turns, ends := 0, 0
	writer.Turn = func(context.Context, string, bool) (end func(), err error) {
		turns++
		return func() { ends++ }, nil
	}
	if _, err := writeOne(t.Context(), writer, plant,
		Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon}, false); err != nil {
		t.Fatal(err)
	}
	if requests, _ := api.seen(); len(requests) != 1 || turns != 1 || ends != 1 {
		t.Errorf("got requests %v, %d turns and %d ends", requests, turns, ends)
	}
}

// A write that has waited for its turn until its deadline does not wait again: the next retry may get one.
func TestTurns_WithoutTurnIsTransient(t *testing.T) {
	for name, refusal := range map[string]error{
		"too much else":     apierrors.NewTooManyRequests("too much else of this namespace is being worked on", 1),
		"not in time":       context.DeadlineExceeded,
		"for another cause": errors.New("shutting down"),
	} {
		api := newFakeAPIServer(t, plantAt("v1"))
		writer, pauses := newTestWriter(t, api, nil)
		writer.Turn = func(context.Context, string, bool) (func(), error) { return nil, refusal }
		_, err := writeOne(t.Context(), writer, plant,
			Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon}, false)
		if !IsTransient(err) || !errors.Is(err, refusal) {
			t.Errorf("%s: got %v", name, err)
		}
		if requests, _ := api.seen(); len(requests) != 1 || len(*pauses) != 0 {
			t.Errorf("%s: got requests %v and %d pauses", name, requests, len(*pauses))
		}
	}
}

func TestTurns_ReleasedOnPanic(t *testing.T) {
	writer, _ := newTestWriter(t, newFakeAPIServer(t, plantAt("v1")), nil)
	ended := false
	writer.Turn = func(context.Context, string, bool) (func(), error) { return func() { ended = true }, nil }
	defer func() {
		if problem := recover(); problem == nil || !ended {
			t.Errorf("panicked with %v, ended: %v", problem, ended)
		}
	}()
	a := writeAttempt{
		Writer: writer, key: plant, requests: []Request{{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}}},
	}
	_, _ = a.planOn(t.Context(), snapshot{kind: gatewaySyncKind{}, obj: (*stokerv1alpha1.GatewaySync)(nil)})
}

// Those that the cluster has authenticated must not wait behind others.
func TestTurns_AnonymousIfAllAre(t *testing.T) {
	for name, test := range map[string]struct {
		requests []Request
		want     bool
	}{
		"all": {[]Request{{DeliveryEvent: &postern.DeliveryEvent{Ref: "v1"}, Anonymous: true},
			{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, Anonymous: true}}, true},
		"one of them": {[]Request{{DeliveryEvent: &postern.DeliveryEvent{Ref: "v1"}, Anonymous: true},
			{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}}}, false},
		"none": {[]Request{{DeliveryEvent: &postern.DeliveryEvent{Ref: "v1"}}}, false},
	} {
		writer, _ := newTestWriter(t, newFakeAPIServer(t, plantAt("v1")), nil)
		var got []bool
		writer.Turn = func(_ context.Context, _ string, anonymous bool) (end func(), err error) {
			got = append(got, anonymous)
			return func() {}, nil
		}
		for i := range test.requests {
			test.requests[i].IfFollowed = true // or only the newest is planned
		}
		writer.Write(t.Context(), plant, test.requests, true)
		if len(got) != 1 || got[0] != test.want {
			t.Errorf("%s: the turns are of unauthenticated senders: %v, want %v", name, got, test.want)
		}
	}
}

// The next push would end the process again, and so would each retry.
func TestTurns_PanicInMatchIsError(t *testing.T) {
	writer, _ := newTestWriter(t, newFakeAPIServer(t, plantAt("v1")),
		&Cache{kinds: map[postern.TargetKind]*cachedKind{}})
	if matches,
		err := writer.Matches("demo", Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "main"}}); err == nil ||
		IsTransient(err) || matches != nil {
		t.Errorf("got %v, %v", matches, err)
	}
}
