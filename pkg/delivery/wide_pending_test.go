// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
)

// A record has no room for the names of very many targets, but no result may be lost.
func TestWide_AllPendingFitsInRecord(t *testing.T) {
	const tags, targets = 2, 1200
	var names []string
	for i := range targets {
		names = append(names, fmt.Sprintf("%s%04d", strings.Repeat("a", 249), i))
	}
	p := newDefaultPipeline()
	p.matches = matching("demo", names...)
	p.writeErr = unavailable(t)
	d, err := p.Deliver(t.Context(), toAll(), pushOf(t, tags), false)
	if err != nil {
		t.Fatal(err)
	}
	p.Drain()
	for try := range 3 {
		if size := len(mustJSON(t, d.Status.Progress)); size > 40<<10 {
			t.Fatalf("try %d: the progress takes %d bytes", try, size)
		}
		if kept := fitSize(d, validation.MaxFinalBytes); len(kept.Status.Targets) != len(d.Status.Targets) {
			t.Fatalf("try %d: %d results are kept of %d", try, len(kept.Status.Targets), len(d.Status.Targets))
		}
		if got := int(d.Status.Progress.Pending) + len(d.Status.Targets); got != tags*targets {
			t.Errorf("try %d: %d are pending, want %d", try, got, tags*targets)
		}
		if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrStillPending) {
			t.Fatal(err)
		}
	}
	p.writeErr, p.requests = nil, nil
	if err := p.Resume(t.Context(), d, false); err != nil {
		t.Fatal(err)
	}
	const want = "2400 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 0 failed"
	if d.Status.Phase != postern.DeliveryApplied || d.Status.Message != want || len(p.requests) != tags*targets {
		t.Errorf("got %s, %s, in %d writes; want %s", d.Status.Phase, d.Status.Message, len(p.requests), want)
	}
}

func TestWide_ConcludeKeepsOrder(t *testing.T) {
	var results []postern.TargetResult
	for i := range maxResults + 1 {
		results = append(results, at(fmt.Sprint(i), []postern.TargetResultType{"Skipped", "Written"}[i%2], ""))
	}
	before := slices.Clone(results)
	d := unfinished()
	setOutcome(d, results, now)
	if diff := cmp.Diff(before, results); diff != "" || d.Status.Targets[0].Result != postern.TargetWritten {
		t.Errorf("the first listed result is %s; the results were changed (-before +after):\n%s",
			d.Status.Targets[0].Result, diff)
	}
}
