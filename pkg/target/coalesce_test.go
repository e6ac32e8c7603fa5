// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

func TestCoalesce_NewestOfEachSlot(t *testing.T) {
	of := withRepository
	withNginx := func(r Request) Request { return withImage(t, "nginx:"+r.Ref, r) }
	for _, test := range []struct {
		name       string
		requests   []Request
		want       []int
		replacedBy map[int]int
	}{
		{"none", nil, nil, map[int]int{}},
		{"one", []Request{event("v1", "github", 1, 1)}, []int{0}, map[int]int{}},
		{"the newest by the time at the sender",
			[]Request{event("v1", "github", 10, 21), event("v3", "github", 30, 22), event("v2", "github", 20, 23)},
			[]int{1}, map[int]int{0: 1, 2: 1}},
		{"by the receipt, if the time is unknown",
			[]Request{event("v1", "github", 0, 21), event("v3", "github", 0, 23), event("v2", "github", 0, 22)},
			[]int{1}, map[int]int{0: 2, 2: 1}},
		{"by the receipt, if the times are equal",
			[]Request{event("v1", "github", 9, 22), event("v2", "github", 9, 21)},
			[]int{0}, map[int]int{1: 0}},
		{"by the receipt, if the senders differ",
			[]Request{event("v1", "kargo", 1, 22), event("v2", "github", 9, 21)},
			[]int{0}, map[int]int{1: 0}},
		{"by the arrival, if the receipt is the same",
			[]Request{event("v1", "generic", 0, 21), event("v2", "generic", 0, 21), event("v3", "generic", 0, 21)},
			[]int{2}, map[int]int{0: 1, 1: 2}},
		{"by the arrival, if there is nothing to compare",
			[]Request{{DeliveryEvent: &postern.DeliveryEvent{Ref: "v1"}},
				{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}}}, []int{1}, map[int]int{0: 1}},
		{"the last known time of a sender is kept, and supersedes earlier events",
			[]Request{event("v3", "github", 10, 21), event("v4", "github", 0, 22), event("v2", "github", 9, 23)},
			[]int{0, 1}, map[int]int{2: 1}},
		{"the last of several with unknown times",
			[]Request{event("v3", "github", 10, 21), event("v4", "github", 0, 22), event("v5", "github", 0, 23),
				event("v6", "github", 11, 24)},
			[]int{0, 3}, map[int]int{1: 2, 2: 3}},
		{"the same request twice",
			[]Request{event("v1", "github", 9, 21), event("v1", "github", 9, 22)}, []int{1}, map[int]int{0: 1}},
		{"a new request instead of a retry",
			[]Request{again(event("v1", "github", 9, 21)), event("v1", "github", 9, 22)}, []int{1}, map[int]int{0: 1}},
		{"pushes to followers are kept",
			[]Request{ifFollowed(tag("v2")), ifFollowed(tag("v1")), ifFollowed(branch("main"))},
			[]int{0, 1, 2}, map[int]int{}},
		{"versions of a chart are kept",
			[]Request{chartVersion("1.3.0"), chartVersion("1.2.0")}, []int{0, 1}, map[int]int{}},
		{"images are kept",
			[]Request{withNginx(event("2", "harbor", 2, 21)), withNginx(event("1", "harbor", 1, 22))},
			[]int{0, 1}, map[int]int{}},
		{"a redelivery is kept, and replaces nothing",
			[]Request{event("v1", "github", 10, 21), onPurpose(event("v0", "github", 1, 22)),
				event("v2", "github", 5, 23)},
			[]int{0, 1}, map[int]int{2: 0}},
		{"all are in the order of their receipt",
			[]Request{event("v3", "github", 30, 23), onPurpose(event("v2", "github", 0, 22)),
				withNginx(event("1", "harbor", 0, 21))},
			[]int{2, 1, 0}, map[int]int{}},
		{"the newest is written at its own place, not at the place of the one it replaces",
			[]Request{event("v1", "github", 10, 21), withNginx(event("1", "harbor", 0, 22)),
				event("v2", "github", 20, 23)},
			[]int{1, 2}, map[int]int{0: 2}},
		{"each repository has its newest",
			[]Request{of(shop, event("v1", "github", 10, 21)), of(values, event("v2", "github", 20, 22)),
				of(shop, event("v0", "github", 5, 23)),
				of(values, event("v3", "github", 30, 24)), event("v9", "github", 1, 25)},
			[]int{0, 3, 4}, map[int]int{1: 3, 2: 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			write, replacedBy := coalesce(applicationKind{}, test.requests)
			if diff := cmp.Diff(test.want, write); diff != "" {
				t.Errorf("to write (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.replacedBy, replacedBy); diff != "" {
				t.Errorf("replaced by (-want +got):\n%s", diff)
			}
		})
	}
	_, replacedBy := coalesce(gatewaySyncKind{},
		[]Request{of(shop, event("v1", "github", 1, 1)), of(values, event("v2", "github", 2, 2))})
	if diff := cmp.Diff(map[int]int{0: 1}, replacedBy); diff != "" {
		t.Errorf("a GatewaySync has one slot (-want +got):\n%s", diff)
	}
}

func TestCoalesce_ReplacementsLeadToWritten(t *testing.T) {
	replacedBy := map[int]int{0: 1, 1: 4, 2: 4, 3: 2}
	for i, want := range []int{4, 4, 4, 4, 4, 5} {
		if got := finalReplacement(replacedBy, i); got != want {
			t.Errorf("%d: got %d, want %d", i, got, want)
		}
	}
}

// Every request is either written, or replaced by a written one of its slot.
func TestCoalesce_LosesNoRequest(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 2000 {
		requests := batchTargets[1].requests(t, r)
		write, replacedBy := coalesce(applicationKind{}, requests)
		if len(write)+len(replacedBy) != len(requests) {
			t.Fatalf("%+v: %v are written, and %v were replaced", requests, write, replacedBy)
		}
		written := map[int]bool{}
		for _, i := range write {
			if _, replaced := replacedBy[i]; replaced || written[i] {
				t.Errorf("%+v: %d is in %v twice or in %v", requests, i, write, replacedBy)
			}
			written[i] = true
		}
		for i := range replacedBy {
			last := finalReplacement(replacedBy, i)
			if !written[last] || slotOf(postern.TargetApplication, requests[last]) != slotOf(postern.TargetApplication,
				requests[i]) {
				t.Errorf("%+v: %d was replaced by %d", requests, i, last)
			}
		}
	}
}
