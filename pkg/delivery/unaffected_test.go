// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// matchingUnaffected makes these Applications match every push; those whose names begin with "x" are unaffected.
func matchingUnaffected(names ...string) func(target.Request) ([]target.Match, error) {
	return func(r target.Request) ([]target.Match, error) {
		matches, err := matching("demo", names...)(r)
		for i := range matches {
			matches[i].Unaffected = strings.HasPrefix(matches[i].Key.Name, "x")
		}
		return matches, err
	}
}

const notAffected = "the push changed no file in argocd.argoproj.io/manifest-generate-paths, so it is not refreshed"

func TestUnaffected_IsLeftOut(t *testing.T) {
	for _, test := range []struct {
		apps   []string
		want   summary
		writes int
	}{
		{[]string{"a", "x"}, summary{
			"Applied", "Requested", "1 written, 0 unchanged, 1 skipped, 0 superseded, 0 pending, 0 failed",
			[]string{"a main: Written Requested", "x main: Skipped NotAffected"},
		}, 1},
		{[]string{"x"}, summary{
			"Ignored", "NotAffected", notAffected, []string{"x main: Skipped NotAffected"},
		}, 0},
		{[]string{"x", "xx"}, summary{
			"Ignored", "NotAffected", "0 written, 0 unchanged, 2 skipped, 0 superseded, 0 pending, 0 failed",
			[]string{"x main: Skipped NotAffected", "xx main: Skipped NotAffected"},
		}, 0},
	} {
		p := newDefaultPipeline()
		p.matches = matchingUnaffected(test.apps...)
		p.outcome = target.Result{Held: true, Reason: target.ReasonRequested, Changes: []target.Change{{}}}
		d, r := pushOfFiles("lib/a")
		delivered, err := p.Deliver(t.Context(), d, r, false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, summaryOf(delivered.Status)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.apps, diff)
		}
		if diff := cmp.Diff([]string{"lib/a"}, delivered.Spec.Events[0].ChangedFiles); diff != "" {
			t.Errorf("changed files (-want +got):\n%s", diff)
		}
		isWrite := func(line string) bool { return strings.HasPrefix(line, "write ") }
		if got := len(slices.DeleteFunc(slices.Clone(p.journal), func(s string) bool { return !isWrite(s) })); got !=
			test.writes {
			t.Errorf("%v: %d writes, want %d: %q", test.apps, got, test.writes, p.journal)
		}
		// What was left out is no request that a target held, or lacks.
		p.journal = nil
		p.HandleRecord(delivered)
		for _, line := range p.journal {
			if strings.Contains(line, "/x") {
				t.Errorf("noted %q", line)
			}
		}
	}
}

// A redelivery is on purpose.
func TestUnaffected_IsRedelivered(t *testing.T) {
	p := newDefaultPipeline()
	p.matches = matchingUnaffected("x")
	d, r := pushOfFiles("lib/a")
	first, err := p.Deliver(t.Context(), d, r, false)
	if err != nil || first.Status.Phase != postern.DeliveryIgnored {
		t.Fatalf("got %+v, %v", first, err)
	}
	p.outcome = target.Result{Held: true, Reason: target.ReasonRequested, Changes: []target.Change{{}}}
	again, err := p.Redeliver(t.Context(), first, ci, false)
	if err != nil || again.Status.Phase != postern.DeliveryApplied {
		t.Errorf("got %+v, %v", again, err)
	}
}

// Of refs that could not be written, those of git are owed. A pending one is not: its own delivery still writes it.
func TestOwed_OfFailedResults(t *testing.T) {
	record := toAll()
	record.Spec.Events = []postern.DeliveryEvent{{Source: "github", Ref: "main"}, {
		Source: "github", Ref: "v1", RefType: postern.RefTypeImage,
		Image: &postern.ImageReference{Repository: "a/b", Tag: "v1"},
	}}
	record.Status.ReceivedTime = &metav1.MicroTime{Time: received}
	for _, result := range []postern.TargetResult{
		{Name: "failed", Ref: "main", Result: postern.TargetFailed},
		{Name: "pending", Ref: "main", Result: postern.TargetPending},
		{Name: "skipped", Ref: "main", Result: postern.TargetSkipped},
		{Name: "superseded", Ref: "main", Result: postern.TargetSuperseded},
		{Name: "image", Ref: "v1", Result: postern.TargetFailed},
	} {
		result.Kind = postern.TargetApplication
		record.Status.Targets = append(record.Status.Targets, result)
	}
	p := newDefaultPipeline()
	p.HandleRecord(record)
	want := []string{"owed Application demo/failed main 0s"}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(p.journal))); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
}
