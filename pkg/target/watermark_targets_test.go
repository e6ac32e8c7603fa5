// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

func TestWatermark_TargetHoldsLatest(t *testing.T) {
	const requested, already, superseded = ReasonRequested, ReasonAlreadyRequested, ReasonSuperseded
	first := event("v1", "github", 10, 11)
	for _, test := range []struct {
		name     string
		requests []Request
		want     []string
		holds    string
	}{
		{"older", []Request{first, event("v2", "github", 9, 12)}, []string{requested, superseded}, "v1"},
		{"equal", []Request{first, event("v2", "github", 10, 12)}, []string{requested, requested}, "v2"},
		{"newer", []Request{first, event("v2", "github", 11, 12)}, []string{requested, requested}, "v2"},
		{"unknown", []Request{first, event("v2", "github", 0, 12)}, []string{requested, requested}, "v2"},
		{"older than one of an unknown time", []Request{event("v1", "github", 0, 11), event("v2", "github", 9, 12)},
			[]string{requested, requested}, "v2"},
		{"older, of another sender", []Request{first, event("v2", "gitlab", 9, 12)}, []string{requested, requested},
			"v2"},
		{"of two senders in turn only the last is compared",
			[]Request{first, event("v2", "gitlab", 9, 12), event("v3", "github", 8, 13), event("v4", "github", 7, 14)},
			[]string{requested, requested, requested, superseded}, "v3"},
		{"the last known time of a sender is compared, although its last event had none",
			[]Request{first, event("v2", "github", 0, 12), event("v0", "github", 9, 13)},
			[]string{requested, requested, superseded}, "v2"},
		{"after two events of unknown times, too",
			[]Request{first, event("v2", "github", 0, 12), event("v3", "github", 0, 13), event("v0", "github", 9, 14)},
			[]string{requested, requested, requested, superseded}, "v3"},
		{"newer than that, received before the last",
			[]Request{first, event("v2", "github", 0, 13), event("v3", "github", 11, 12)},
			[]string{requested, requested, superseded}, "v2"},
		{"newer than that, received after the last",
			[]Request{first, event("v2", "github", 0, 12), event("v3", "github", 11, 13)},
			[]string{requested, requested, requested}, "v3"},
		{"at that time, received after the last",
			[]Request{first, event("v2", "github", 0, 12), event("v3", "github", 10, 13)},
			[]string{requested, requested, requested}, "v3"},
		{"older than that, on purpose",
			[]Request{first, event("v2", "github", 0, 12), onPurpose(event("v0", "github", 5, 13))},
			[]string{requested, requested, requested}, "v0"},
		{"after that and a redelivery, an event from in between is stale",
			[]Request{first, event("v2", "github", 0, 12), onPurpose(event("v0", "github", 5, 13)),
				event("v3", "github", 7, 14)},
			[]string{requested, requested, requested, superseded}, "v0"},
		{"another sender resets it", []Request{first, event("v2", "gitlab", 0, 12), event("v0", "github", 9, 13)},
			[]string{requested, requested, requested}, "v0"},
		{"the same ref, older", []Request{first, event("v1", "github", 9, 12)}, []string{requested, superseded}, "v1"},
		{"the same ref again makes events in between stale",
			[]Request{first, event("v1", "github", 20, 21), event("v2", "github", 15, 22)},
			[]string{requested, already, superseded}, "v1"},
		{"the same ref again at an unknown time does not",
			[]Request{first, event("v1", "github", 0, 21), event("v2", "github", 15, 22)},
			[]string{requested, already, requested}, "v2"},
		{"the same ref again by another sender does not",
			[]Request{first, event("v1", "gitlab", 20, 21), event("v2", "github", 15, 22)},
			[]string{requested, already, requested}, "v2"},
		{"on purpose, older", []Request{first, onPurpose(event("v0", "github", 5, 12))}, []string{requested, requested},
			"v0"},
		{"after a redelivery, an event from in between is stale",
			[]Request{first, onPurpose(event("v0", "github", 5, 12)), event("v2", "github", 7, 13)},
			[]string{requested, requested, superseded}, "v0"},
		{"after a redelivery, a new event is not stale",
			[]Request{first, onPurpose(event("v0", "github", 5, 12)), event("v2", "github", 11, 13)},
			[]string{requested, requested, requested}, "v2"},
		{"retried, received before", []Request{first, again(event("v2", "kargo", 0, 9))},
			[]string{requested, superseded}, "v1"},
		{"retried, received after", []Request{first, again(event("v2", "kargo", 0, 12))},
			[]string{requested, requested}, "v2"},
		{"retried after it was written", []Request{first, again(first)}, []string{requested, already}, "v1"},
	} {
		for name, target := range orderedTargets {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				after, reasons := oneByOne(t, target.kind, target.document, test.requests...)
				if diff := cmp.Diff(test.want, reasons); diff != "" {
					t.Errorf("reasons (-want +got):\n%s", diff)
				}
				if got := requestedIn(parse(t, target.kind, after)); got != test.holds {
					t.Errorf("holds %q, want %q", got, test.holds)
				}
			})
		}
	}
}

func TestWatermark_NotRewrittenAfterOthersChange(t *testing.T) {
	first := event("v1", "github", 10, 11)
	for name, target := range orderedTargets {
		after, _ := oneByOne(t, target.kind, target.document, first)
		key := stokerv1alpha1.AnnotationRequestedRef
		if target.kind == postern.TargetApplication {
			key = AnnotationRequestedRef
		}
		byHand := mustApply(t, after, []operation{{Op: "add", Path: annotationPath(key), Value: "by-hand"}})
		if _, reasons := oneByOne(t, target.kind, byHand, again(first)); reasons[0] != ReasonAlreadyRequested {
			t.Errorf("%s: got reason %q", name, reasons[0])
		}
		if _, reasons := oneByOne(t, target.kind, byHand, first); reasons[0] != ReasonRequested {
			t.Errorf("%s, not tried before: got reason %q", name, reasons[0])
		}
	}
}

func TestWatermark_LaterEventForSameRefNotesTime(t *testing.T) {
	for name, target := range orderedTargets {
		after, _ := oneByOne(t, target.kind, target.document, event("v1", "github", 10, 11))
		newer := event("v1", "github", 20, 21)
		newer.At = noon.Add(time.Second)
		decision := decide(t, parse(t, target.kind, after), newer)
		key := map[postern.TargetKind]string{postern.TargetGatewaySync: "stoker.io~1requested-ref",
			postern.TargetApplication: "postern.dev~1requested-ref"}[target.kind]
		slot := slotOf(target.kind, newer)
		was := parseWatermarks(annotationsOf(t, parse(t, target.kind, after)))
		is := newer.watermark()
		is.Wrote = was[slot].Wrote
		expectPatch(t, encode(t, []operation{
			{Op: "test", Path: "/metadata/annotations/" + key, Value: "v1"},
			{Op: "test", Path: "/metadata/annotations/postern.dev~1event-time", Value: was.String()},
			{Op: "add", Path: "/metadata/annotations/postern.dev~1event-time",
				Value: watermarkSet{slot: is}.String()},
		}), decision.Patch)
		if decision.Reason != ReasonAlreadyRequested || len(decision.Changes) != 0 || !decision.Held {
			t.Errorf("%s: got %+v", name, decision.Result)
		}
		changed := mustApply(t, after, []operation{{Op: "add", Path: "/metadata/annotations/" + key, Value: "v9"}})
		if _, err := apply(changed, decision.Patch); err == nil {
			t.Errorf("%s: recorded the time of a ref that is no longer requested", name)
		}
	}
}

// No time is recorded for a ref that was written without one.
func TestWatermark_NoTimeWithoutAnnotation(t *testing.T) {
	for name, target := range orderedTargets {
		untimed := Request{DeliveryEvent: &postern.DeliveryEvent{
			Ref: "v1", Revision: "commit-of-v1", Source: "github"}, At: noon}
		after, _ := oneByOne(t, target.kind, target.document, untimed)
		if got := decide(t, parse(t, target.kind, after), event("v1", "github", 20, 21)); got.Patch != nil ||
			got.Reason != ReasonAlreadyRequested {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestWatermark_PatchTestsTime(t *testing.T) {
	for name, target := range orderedTargets {
		before, _ := oneByOne(t, target.kind, target.document, event("v1", "github", 10, 11))
		meanwhile, _ := oneByOne(t, target.kind, before, event("v1", "github", 30, 31))
		for _, r := range []Request{event("v2", "github", 20, 21), event("v1", "github", 20, 21)} {
			patch := decide(t, parse(t, target.kind, before), r).Patch
			if _, err := apply(before, patch); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := apply(meanwhile, patch); err == nil {
				t.Errorf("%s: %s passed although a newer event was recorded meanwhile", name, r.Ref)
			}
		}
	}
}
