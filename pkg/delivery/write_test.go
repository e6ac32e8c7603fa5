// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// summary is the outcome of a delivery in short.
type summary struct {
	Phase, Reason, Message string
	Targets                []string
}

func summaryOf(status postern.WebhookDeliveryStatus) summary {
	s := summary{string(status.Phase), status.Reason, status.Message, nil}
	for _, r := range status.Targets {
		s.Targets = append(s.Targets, fmt.Sprintf("%s %s: %s %s", r.Name, r.Ref, r.Result, r.Reason))
	}
	return s
}

func TestWrite_ErrorStopsNoOtherTarget(t *testing.T) {
	down := unavailable(t)
	refused := errors.New("a policy says no")
	written := atTarget{
		outcome: target.Result{Changes: []target.Change{{}}, Held: true, Reason: target.ReasonRequested},
	}
	held := atTarget{outcome: target.Result{Held: true, Reason: target.ReasonAlreadyRequested}}
	outdated := atTarget{outcome: target.Result{Reason: target.ReasonSuperseded, Message: "it holds something newer"}}
	unwanted := atTarget{
		outcome: target.Result{Reason: target.ReasonNotFollowed, Message: "it follows another branch"},
	}
	for name, test := range map[string]struct {
		at   map[string]atTarget
		want summary
		code int32 // 0 for no error
	}{
		"all succeed": {
			map[string]atTarget{"a": written, "b": held, "c": unwanted},
			summary{"Applied", "Requested", "1 written, 1 unchanged, 1 skipped, 0 superseded, 0 pending, 0 failed",
				[]string{
					"a v2.0.0: Written Requested", "b v2.0.0: Unchanged AlreadyRequested",
					"c v2.0.0: Skipped NotFollowed",
				}},
			0,
		},
		"one fails": {
			map[string]atTarget{"a": {err: refused}, "b": written},
			summary{"Failed", "SomeTargetsFailed",
				"1 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 1 failed",
				[]string{"a v2.0.0: Failed TargetRefused", "b v2.0.0: Written Requested"}},
			http.StatusInternalServerError,
		},
		"one fails and one is transient": {
			map[string]atTarget{"a": {err: refused}, "b": {err: down}, "c": written},
			summary{"Pending", "TargetUnavailable",
				"1 written, 0 unchanged, 0 skipped, 0 superseded, 1 pending, 1 failed",
				[]string{
					"a v2.0.0: Failed TargetRefused", "b v2.0.0: Pending TargetUnavailable",
					"c v2.0.0: Written Requested",
				}},
			0,
		},
		"all are transient": {
			map[string]atTarget{"a": {err: down}, "b": {err: down}},
			summary{"Pending", "TargetUnavailable",
				"0 written, 0 unchanged, 0 skipped, 0 superseded, 2 pending, 0 failed",
				[]string{"a v2.0.0: Pending TargetUnavailable", "b v2.0.0: Pending TargetUnavailable"}},
			0,
		},
		"one holds something newer": {
			map[string]atTarget{"a": outdated, "b": written},
			summary{"Applied", "Requested", "1 written, 0 unchanged, 0 skipped, 1 superseded, 0 pending, 0 failed",
				[]string{"a v2.0.0: Superseded Superseded", "b v2.0.0: Written Requested"}},
			0,
		},
		"one holds something newer, one does not want it": {
			map[string]atTarget{"a": outdated, "b": unwanted},
			summary{"Superseded", "Superseded", "0 written, 0 unchanged, 1 skipped, 1 superseded, 0 pending, 0 failed",
				[]string{"a v2.0.0: Superseded Superseded", "b v2.0.0: Skipped NotFollowed"}},
			0,
		},
		// A target that was found is not reported as 404 when it is deleted.
		"one is gone": {
			map[string]atTarget{"a": {err: notFound()}, "b": written},
			summary{"Applied", "Requested", "1 written, 0 unchanged, 1 skipped, 0 superseded, 0 pending, 0 failed",
				[]string{"a v2.0.0: Skipped TargetGone", "b v2.0.0: Written Requested"}},
			0,
		},
		"the only one does not want it after all": {
			map[string]atTarget{"a": unwanted},
			summary{"Ignored", "NotFollowed", "it follows another branch", []string{"a v2.0.0: Skipped NotFollowed"}},
			0,
		},
		"none wants it after all, for several reasons": {
			map[string]atTarget{"a": unwanted, "b": {err: notFound()}},
			summary{"Ignored", "NoTarget", "0 written, 0 unchanged, 2 skipped, 0 superseded, 0 pending, 0 failed",
				[]string{"a v2.0.0: Skipped NotFollowed", "b v2.0.0: Skipped TargetGone"}},
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			testBothWays(t, func(t *testing.T, arrange func(*pipeline)) {
				p := newDefaultPipeline()
				arrange(p)
				p.matches, p.atTarget = matching("demo", slices.Sorted(maps.Keys(test.at))...), test.at
				var stored postern.WebhookDeliveryStatus
				keep := func(d *postern.WebhookDelivery) error { stored = d.Status; return nil }
				p.onRecord, p.onUpdate = keep, keep
				answer, err := p.Deliver(t.Context(), toAll(), release(), false)
				p.Drain()
				if diff := cmp.Diff(test.want, summaryOf(stored)); diff != "" {
					t.Errorf("stored status (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(stored, answer.Status); diff != "" {
					t.Errorf("answer (-stored +answered):\n%s", diff)
				}
				if test.code != 0 || err != nil {
					if got := answered(t, err).Code; got != test.code {
						t.Errorf("answered %d, want %d: %v", got, test.code, err)
					}
				}
			})
		})
	}
}

func TestWrite_AnswerCountsFurtherErrors(t *testing.T) {
	err := worstError([]writeResult{
		{err: errors.New("a says no")}, {}, {err: errors.New("b says no")}, {err: errors.New("c says no")},
	})
	const want = "the target can't be written: a says no (and 2 more failed, see the delivery)"
	if got := err.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The texts of target owners may be long, and longer in JSON.
func TestWrite_ResultsFitIntoEtcd(t *testing.T) {
	text := strings.Repeat("\x01", maxTextBytes)
	results := make([]postern.TargetResult, 200)
	for i := range results {
		results[i] = postern.TargetResult{Result: postern.TargetUnchanged, PreviousRef: text, Message: text}
	}
	results[199].Result = postern.TargetPending
	d := toAll()
	setOutcome(d, results, now)
	encoded, err := json.Marshal(d.Status.Targets)
	if err != nil || len(encoded) > maxResultBytes || len(encoded) < maxResultBytes-16<<10 ||
		d.Status.Targets[0].Result != postern.TargetPending {
		t.Errorf("kept %d bytes of %d results, the first with %s, %v", len(encoded), len(d.Status.Targets),
			d.Status.Targets[0].Result, err)
	}
}

// If etcd rejected the record, it would stay Pending.
func TestWrite_KeepsMostImportantResults(t *testing.T) {
	results := make([]postern.TargetResult, maxResults+10)
	for i := range results {
		results[i].Result = postern.TargetSkipped
	}
	results[maxResults+3].Result, results[maxResults+5].Result = postern.TargetWritten, postern.TargetFailed
	results[maxResults+7].Result = postern.TargetPending
	d := toAll()
	setOutcome(d, results, now)
	kept := d.Status.Targets
	if len(kept) != maxResults {
		t.Fatalf("kept %d, want %d", len(kept), maxResults)
	}
	got := []postern.TargetResultType{kept[0].Result, kept[1].Result, kept[2].Result, kept[3].Result}
	if diff := cmp.Diff([]postern.TargetResultType{"Pending", "Failed", "Written", "Skipped"}, got); diff != "" {
		t.Errorf("kept first (-want +got):\n%s", diff)
	}
	if want := fmt.Sprintf("1 written, 0 unchanged, %d skipped, 0 superseded, 1 pending, 1 failed",
		maxResults+7); d.Status.Message != want {
		t.Errorf("got %q, want %q", d.Status.Message, want)
	}
}
