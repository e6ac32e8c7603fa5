// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

func writtenFor(r Request) watermarkSet { return watermarkSet{slotGit: r.watermark()} }
func kept(r Request) string             { return writtenFor(r).String() }
func keptAt(s string) map[string]string { return map[string]string{AnnotationEventTime: s} }

func TestWatermark_OrderBySenderThenReceipt(t *testing.T) {
	last := event("v1", "github", 10, 20)
	untimed := event("v1", "github", 0, 20)
	const (
		happened = "the last written event happened later"
		received = "the last written event was received later"
		before   = "it was written before"
	)
	for _, test := range []struct {
		name string
		last Request
		r    Request
		want string // message; empty if it is written
	}{
		{"older", last, event("v2", "github", 9, 30), happened},
		{"at the same time", last, event("v2", "github", 10, 30), ""},
		{"newer", last, event("v2", "github", 11, 30), ""},
		{"newer, received before", last, event("v2", "github", 11, 15), ""},
		{"of an unknown time", last, event("v2", "github", 0, 30), ""},
		{"after one of an unknown time", untimed, event("v2", "github", 9, 30), ""},
		{"older, of another sender", last, event("v2", "gitlab", 9, 30), ""},
		{"older, but on purpose", last, onPurpose(event("v2", "github", 9, 30)), ""},

		{"retried, older", last, again(event("v2", "github", 9, 30)), happened},
		{"retried, newer though received before", last, again(event("v2", "github", 11, 15)), ""},
		{"retried, received before, of an unknown time", last, again(event("v2", "github", 0, 19)), received},
		{"retried, received after, of an unknown time", last, again(event("v2", "github", 0, 21)), ""},
		{"retried, received before, of another sender", last, again(event("v2", "kargo", 30, 19)), received},
		{"retried, received after, of another sender", last, again(event("v2", "kargo", 1, 21)), ""},
		{"retried, received at the same time, of another sender", last, again(event("v2", "kargo", 1, 20)), ""},
		{"retried, received before, at the same time", last, again(event("v2", "github", 10, 19)), received},
		{"retried on purpose, received before", last, again(onPurpose(event("v2", "github", 11, 19))), received},
		{"retried on purpose, received after", last, again(onPurpose(event("v2", "github", 9, 21))), ""},
		{"retried after it was written", last, again(last), before},
		{"asked for twice", last, last, ""},
		{"received before, of another sender", last, event("v2", "kargo", 30, 19), received},
		{"received before, of an unknown time", last, event("v2", "github", 0, 19), received},
		{"received before, at the same time", last, event("v2", "github", 10, 19), received},
		{"received before, on purpose", last, onPurpose(event("v2", "kargo", 0, 19)), ""},
		{"received after, of another sender", last, event("v2", "kargo", 0, 21), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := staleIn(slotGit, keptAt(kept(test.last)), test.r)
			var want *decision
			switch test.want {
			case happened, received:
				want = &decision{Result: Result{Previous: "v1", Reason: ReasonSuperseded, Message: test.want}}
			case before:
				want = &decision{Result: Result{Previous: "v1", Held: true, Reason: ReasonAlreadyRequested,
					Message: before}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := staleIn("git/other", keptAt(kept(test.last)), test.r); got != nil {
				t.Errorf("in another slot: got %+v", got)
			}
		})
	}
}

func TestWatermark_InvalidEventTimeIsIgnored(t *testing.T) {
	for _, annotation := range []string{
		"", "null", "{}", "[]", "yesterday", `"2026-03-01T12:00:00Z"`, `{"git": "2026-03-01T12:00:00Z"}`,
		`{"git": null}`,
		`{"git": {"by": "github", "time": "noon"}}`, `{"git": {"by": "github", "time": "2026-03-01T12:10:00Z"}`,
		`{"git": {"by": "github", "time": "99999-01-01T00:00:00Z", "received": "2026-03-01T12:10:00Z"}}`,
	} {
		if got := staleIn(slotGit, keptAt(annotation), event("v2", "github", 1, 2)); got != nil {
			t.Errorf("%s: got %+v", annotation, got)
		}
		after := parseWatermarks(keptAt(annotation))
		after.record(slotGit, event("v2", "github", 1, 2))
		if diff := cmp.Diff(writtenFor(event("v2", "github", 1, 2)), after); diff != "" {
			t.Errorf("%s: recorded (-want +got):\n%s", annotation, diff)
		}
	}
}

func TestWatermark_AnnotationFormat(t *testing.T) {
	r := Request{DeliveryEvent: &postern.DeliveryEvent{Source: "github", Time: &metav1.MicroTime{Time: noon}},
		Received: noon.Add(time.Second)}
	want := `{"git":{"by":"github","time":"2026-03-01T12:00:00.0000005Z","received":"2026-03-01T12:00:01.0000005Z"}}`
	if got := kept(r); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.Time = nil
	want = `{"git":{"by":"github","received":"2026-03-01T12:00:01.0000005Z"}}`
	if got := kept(r); got != want {
		t.Errorf("without a time: got %s, want %s", got, want)
	}
	r.Time = &metav1.MicroTime{Time: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600))}
	r.Received = r.Time.Time
	if got := kept(r); got != "{}" {
		t.Errorf("with a time that JSON does not have: got %s", got)
	}
}

func TestWatermark_SlotKeepsLatest(t *testing.T) {
	at := func(by string, happened int) watermark { return event("", by, happened, 30).watermark() }
	after := func(happened int) watermark { // the watermark of an event with an unknown time
		m := at("github", 0)
		m.After = minute(happened)
		return m
	}
	again := func(m watermark) watermark { m.Redelivered = true; return m }
	timed, untimed := at("github", 10), after(10)
	for _, test := range []struct {
		name string
		last watermark
		r    Request
		want watermark
	}{
		{"a newer event", timed, event("v2", "github", 15, 30), at("github", 15)},
		{"an older event, which wins by its version", timed, event("v2", "github", 5, 30), at("github", 5)},
		{"an event of an unknown time", timed, event("v2", "github", 0, 30), after(10)},
		{"of an unknown time, of another sender", timed, event("v2", "gitlab", 0, 30), at("gitlab", 0)},
		{"a second of an unknown time", untimed, event("v2", "github", 0, 30), after(10)},
		{"a newer one after that", untimed, event("v2", "github", 15, 30), at("github", 15)},
		{"on purpose, older", timed, onPurpose(event("v0", "github", 5, 30)), again(at("github", 10))},
		{"on purpose, newer", timed, onPurpose(event("v0", "github", 15, 30)), again(at("github", 15))},
		{"on purpose, older, of another sender", timed, onPurpose(event("v0", "gitlab", 5, 30)),
			again(at("gitlab", 5))},
		{"on purpose, of an unknown time", timed, onPurpose(event("v0", "github", 0, 30)), again(after(10))},
		{"on purpose, older, after one of an unknown time", untimed, onPurpose(event("v0", "github", 5, 30)),
			again(at("github", 10))},
	} {
		recorded := watermarkSet{slotGit: test.last}
		recorded.record(slotGit, test.r)
		if diff := cmp.Diff(watermarkSet{slotGit: test.want}, recorded); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if diff := cmp.Diff(recorded, parseWatermarks(keptAt(recorded.String()))); diff != "" {
			t.Errorf("%s, read again (-recorded +read):\n%s", test.name, diff)
		}
	}
}

func TestWatermark_OldestSlotsAreForgotten(t *testing.T) {
	recorded := watermarkSet{}
	for i := range 2 * maxSlots {
		recorded.record(fmt.Sprintf("image/%02d", i), event("", "harbor", 1, 1+i))
		recorded = parseWatermarks(keptAt(recorded.String()))
		if want := min(i+1, maxSlots); len(recorded) != want {
			t.Fatalf("after %d slots %d are kept, want %d", i+1, len(recorded), want)
		}
	}
	for i := range 2 * maxSlots {
		if _, known := recorded[fmt.Sprintf("image/%02d", i)]; known != (i >= maxSlots) {
			t.Errorf("slot %d is kept: %v", i, known)
		}
	}
}

// An owner may write any number of slots by hand.
func TestWatermark_AnnotationIsCutAtOnce(t *testing.T) {
	recorded := manySlots(10_000)
	recorded.record(slotGit, event("v1", "github", 0, 60*24))
	if len(recorded) != maxSlots {
		t.Errorf("%d slots are kept, want %d", len(recorded), maxSlots)
	}
	if _, known := recorded[slotGit]; !known {
		t.Error("the recorded slot is not kept")
	}
	for i := range maxSlots - 1 {
		if slot := fmt.Sprintf("image/%05d", 9_999-i); recorded[slot] == (watermark{}) {
			t.Errorf("%s is not kept", slot)
		}
	}
}

// If slots were written at once, the order of a map does not decide which are dropped.
func TestWatermark_EqualReceiptsAreForgottenByName(t *testing.T) {
	recorded := watermarkSet{}
	for i := range 2 * maxSlots {
		recorded.record(fmt.Sprintf("image/%02d", i), event("", "harbor", 1, 1))
	}
	for i := range 2 * maxSlots {
		if _, known := recorded[fmt.Sprintf("image/%02d", i)]; known != (i >= maxSlots) {
			t.Errorf("slot %d is kept: %v", i, known)
		}
	}
}

func TestWatermark_SlotsOfSources(t *testing.T) {
	for _, test := range []struct {
		kind       postern.TargetKind
		repository string
		want       string
	}{
		{postern.TargetGatewaySync, "", "git"},
		{postern.TargetGatewaySync, "https://git.acme.io/shop.git", "git"},
		{postern.TargetApplication, "", "git"},
		{postern.TargetApplication, "https://git.acme.io/shop.git", "git/git.acme.io/shop"},
		{postern.TargetApplication, "git@git.acme.io:shop", "git/git.acme.io/shop"},
		{postern.TargetApplication, "https://git.acme.io/values", "git/git.acme.io/values"},
	} {
		r := Request{DeliveryEvent: &postern.DeliveryEvent{Repository: test.repository}}
		if got := slotOf(test.kind, r); got != test.want {
			t.Errorf("%s, %q: got %q, want %q", test.kind, test.repository, got, test.want)
		}
	}
}

// A request that was received before a redelivery does not undo it when it is retried or released later, although its
// event happened later.
func TestRedelivery_OutlastsWhatWasReceivedBefore(t *testing.T) {
	late := event("v3", "github", 9, 22)
	late.Retry = true
	document, _ := oneByOne(t, postern.TargetGatewaySync, plantAt("v2"), event("v2", "github", 5, 21))
	document, results := oneByOne(t, postern.TargetGatewaySync, document, onPurpose(event("v1", "github", 1, 23)), late,
		event("v4", "github", 10, 24))
	if results[1] != ReasonSuperseded {
		t.Errorf("got %q", results)
	}
	if got := requestedIn(parse(t, postern.TargetGatewaySync, document)); got != "v4" {
		t.Errorf("got %s after a later request", got)
	}
}
