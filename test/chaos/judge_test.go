// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// at returns a time with the given seconds.
func at(seconds int) time.Time { return time.Unix(int64(seconds), 0) }

func accepted(ref string, began, ended int, phase v1alpha1.DeliveryPhase) entry {
	return entry{
		request: request{target: target{gatewaySyncs, "plant"}, ref: ref}, began: at(began), ended: at(ended),
		code: http.StatusAccepted, record: "record-of-" + ref, phase: phase,
	}
}

func unanswered(ref string, began, ended int) entry {
	return entry{request: request{target: target{gatewaySyncs, "plant"}, ref: ref}, began: at(began), ended: at(ended)}
}

func happened(e entry, when int) entry {
	e.event = at(when)
	return e
}

func TestJudge_FindsLostDelivery(t *testing.T) {
	const applied, superseded, pending = v1alpha1.DeliveryApplied, v1alpha1.DeliverySuperseded, v1alpha1.DeliveryPending
	plant := target{gatewaySyncs, "plant"}
	for _, test := range []struct {
		name     string
		entries  []entry
		outcomes map[string]outcome
		held     string
		written  []string
		lost     int
		problem  string
	}{
		{"nothing: each was written, the target has the last one",
			[]entry{accepted("a", 1, 2, applied), accepted("b", 3, 4, applied)},
			map[string]outcome{"record-of-a": {applied, "", ""}, "record-of-b": {applied, "", ""}}, "b",
			[]string{"a", "b"}, 0, ""},
		{"nothing: they overlapped, so the target may have either",
			[]entry{accepted("a", 1, 3, applied), accepted("b", 2, 4, applied)},
			map[string]outcome{"record-of-a": {applied, "", ""}, "record-of-b": {superseded, "x", ""}}, "a",
			[]string{"a", "b"}, 0, ""},
		{"nothing: a later one was not answered", []entry{accepted("a", 1, 2, pending), unanswered("b", 3, 4)},
			map[string]outcome{"record-of-a": {superseded, "x", ""}}, "b", []string{"b"}, 0, ""},
		{"nothing: a failed delivery has a reason", []entry{accepted("a", 1, 2, applied), accepted("b", 3, 4, pending)},
			map[string]outcome{"record-of-a": {applied, "", ""}, "record-of-b": {v1alpha1.DeliveryFailed, "x", ""}},
			"a", []string{"a"}, 0, "failed: x"},
		{"a record", []entry{accepted("a", 1, 2, applied)}, nil, "a", []string{"a"}, 1, "has no record"},
		{"a delivery that never ends", []entry{accepted("a", 1, 2, pending)},
			map[string]outcome{"record-of-a": {pending, "", ""}}, "a", []string{"a"}, 1, `as "Pending"`},
		{"a delivery that failed without a reason", []entry{accepted("a", 1, 2, pending)},
			map[string]outcome{"record-of-a": {v1alpha1.DeliveryFailed, "", ""}}, "a", []string{"a"}, 1, `as "Failed"`},
		{"a ref that an older one overwrote", []entry{accepted("a", 1, 2, applied), accepted("b", 3, 4, applied)},
			map[string]outcome{"record-of-a": {applied, "", ""}, "record-of-b": {applied, "", ""}}, "a",
			[]string{"a", "b"}, 1, "b to gatewaysyncs/plant"},
		{"a ref that was superseded by an older one",
			[]entry{accepted("a", 1, 2, applied), accepted("b", 3, 4, applied)},
			map[string]outcome{"record-of-a": {applied, "", ""}, "record-of-b": {superseded, "x", ""}}, "a",
			[]string{"a", "b"}, 1, "b to gatewaysyncs/plant"},
		{"a newer event that was sent first", []entry{happened(accepted("a", 1, 2, applied), 20),
			happened(accepted("b", 3, 4, applied), 10)},
			map[string]outcome{"record-of-a": {applied, "", ""}, "record-of-b": {applied, "", ""}}, "b",
			[]string{"a", "b"}, 1, "a to gatewaysyncs/plant"},
		{"a ref that is recorded as applied", []entry{accepted("a", 1, 3, applied), accepted("b", 2, 4, applied)},
			map[string]outcome{"record-of-a": {applied, "", ""}, "record-of-b": {applied, "", ""}}, "b", []string{"b"},
			1, "was never written"},
		{"a ref that was answered as applied and recorded as superseded",
			[]entry{accepted("a", 1, 3, applied), accepted("b", 2, 4, applied)},
			map[string]outcome{"record-of-a": {superseded, "x", ""}, "record-of-b": {applied, "", ""}}, "b",
			[]string{"b"}, 1, "answered as Applied"},
		{"a ref that another client overwrote", []entry{accepted("a", 1, 2, applied)},
			map[string]outcome{"record-of-a": {applied, "", ""}}, "z", []string{"a"}, 1, "no request sent it"},
	} {
		found := evidence{outcomes: test.outcomes, held: map[target]string{plant: test.held},
			written: map[target]map[string]bool{plant: {}}}
		for _, ref := range test.written {
			found.written[plant][ref] = true
		}
		got := judge(test.entries, found)
		if got.lost != test.lost {
			t.Errorf("%s: lost %d, want %d: %v", test.name, got.lost, test.lost, got.problems)
		}
		if !strings.Contains(strings.Join(got.problems, "\n"), test.problem) {
			t.Errorf("%s: problems are %q", test.name, got.problems)
		}
	}
}

func TestHistory_FindsStepBack(t *testing.T) {
	plant := target{gatewaySyncs, "plant"}
	for _, test := range []struct {
		name  string
		refs  []string
		found int
	}{
		{"nothing", []string{"v1.0.8", "v1.0.9", "v1.0.10"}, 0},
		{"nothing: some were left out", []string{"v1", "v7"}, 0},
		{"an older one", []string{"v1", "v3", "v2", "v4"}, 1},
		{"the same one again", []string{"v1", "v2", "v1", "v2"}, 2},
		{"a ref that no request sent", []string{"v1", "main"}, 1},
		{"a ref that is gone", []string{"v1", "", "v2"}, 1},
	} {
		h := history{refs: map[target][]string{plant: test.refs}}
		if got := h.backwards(); len(got) != test.found {
			t.Errorf("%s: found %q, want %d", test.name, got, test.found)
		}
	}
}
