// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

const (
	waits  = "waits for its turn: --argocd-refreshes-per-second"
	noTurn = "no turn within --retry-window: raise --argocd-refreshes-per-second"
)

// pacedPipeline is a pipeline with a limited rate of refreshes, and a clock of its own.
type pacedPipeline struct {
	*pipeline
	clock time.Time
}

// newPacedPipeline returns a pipeline in which a push concerns these Applications.
func newPacedPipeline(perSecond float64, names ...string) *pacedPipeline {
	p := &pacedPipeline{newDefaultPipeline(), now}
	p.matches = matching("demo", names...)
	p.pacer = newPacer(perSecond)
	p.Deliverer.Now = func() time.Time { return p.clock }
	return p
}

// push delivers a push of main, without a target.
func (p *pacedPipeline) push(t *testing.T, dryRun bool) *postern.WebhookDelivery {
	t.Helper()
	d, r := pushOfFiles("lib/a")
	delivered, err := p.Deliver(t.Context(), d, r, dryRun)
	if err != nil {
		t.Fatal(err)
	}
	return delivered
}

// written returns the names of the written targets since the last time, in order.
func (p *pacedPipeline) written() []string {
	var names []string
	for _, line := range writesIn(p.journal) {
		_, name, _ := strings.Cut(strings.Fields(line)[2], "/")
		names = append(names, name)
	}
	slices.Sort(names) // they are written concurrently
	p.journal = nil
	return names
}

func TestPace_WritesBurstAndThenAtRate(t *testing.T) {
	p := newPacedPipeline(1.5, "a", "b", "c", "d", "e", "f", "g") // three in two seconds
	d := p.push(t, false)
	want := summary{
		"Pending", "Paced", "3 written, 0 unchanged, 0 skipped, 0 superseded, 4 pending, 0 failed; " + waits, []string{
			"a main: Written Requested", "b main: Written Requested", "c main: Written Requested",
			"d main: Pending Paced", "e main: Pending Paced", "f main: Pending Paced", "g main: Pending Paced",
		},
	}
	if diff := cmp.Diff(want, summaryOf(d.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if message := d.Status.Targets[3].Message; message != waits {
		t.Errorf("got message %q, want %q", message, waits)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, p.written()); diff != "" {
		t.Errorf("first pass (-want +got):\n%s", diff)
	}
	for _, want := range [][]string{{"d", "e", "f"}, {"g"}} {
		// Before there are tokens, nothing changes.
		p.clock = p.clock.Add(PaceInterval / 20)
		if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrPaced) || len(p.journal) != 0 {
			t.Errorf("got %v and calls %q, want ErrPaced and none", err, p.journal)
		}
		p.clock = p.clock.Add(PaceInterval)
		err := p.Resume(t.Context(), d, false)
		if isLast := want[0] == "g"; isLast == errors.Is(err, ErrPaced) || isLast != (err == nil) {
			t.Errorf("the pass of %q ended with %v", want, err)
		}
		if diff := cmp.Diff(want, p.written()); diff != "" {
			t.Errorf("next pass (-want +got):\n%s", diff)
		}
	}
	if d.Status.Phase != postern.DeliveryApplied || d.Status.Reason != target.ReasonRequested {
		t.Errorf("ended as %s, %s", d.Status.Phase, d.Status.Reason)
	}
}

// The rate may be much lower than one in each pass.
func TestPace_LowRate(t *testing.T) {
	p := newPacedPipeline(0.1, "a", "b")
	d := p.push(t, false)
	began := p.clock
	var err error
	for err = ErrPaced; errors.Is(err, ErrPaced); err = p.Resume(t.Context(), d, false) {
		p.clock = p.clock.Add(PaceInterval)
	}
	if took := p.clock.Sub(began); err != nil || took != 10*time.Second {
		t.Errorf("ended after %s with %v, want 10s", took, err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, p.written()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// Most of the results of such a push are not in its record.
func TestPace_VeryManyApplications(t *testing.T) {
	var names []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("app%04d", i))
	}
	p := newPacedPipeline(100, names...)
	d := p.push(t, false)
	passes := 1
	var err error
	for err = ErrPaced; errors.Is(err, ErrPaced); passes++ {
		p.clock = p.clock.Add(PaceInterval)
		err = p.Resume(t.Context(), d, false)
	}
	if err != nil || passes != 13 {
		t.Errorf("ended after %d passes with %v, want 13", passes, err)
	}
	if diff := cmp.Diff(names, p.written()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	const want = "2500 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 0 failed"
	if d.Status.Phase != postern.DeliveryApplied || d.Status.Message != want {
		t.Errorf("got %s, %s; want %s", d.Status.Phase, d.Status.Message, want)
	}
}

// An Application that fails must neither keep the others from their turn, nor hide that they wait.
func TestPace_FailingWaitsBehindOthers(t *testing.T) {
	p := newPacedPipeline(0.5, "a", "b", "c")
	p.atTarget = map[string]atTarget{"a": {err: unavailable(t)}}
	d := p.push(t, false)
	if d.Status.Phase != postern.DeliveryPending || d.Status.Reason != ReasonTargetUnavailable {
		t.Errorf("got %s, %s", d.Status.Phase, d.Status.Reason)
	}
	for _, want := range []struct {
		written string
		err     error
	}{{"b", ErrPaced}, {"c", ErrStillPending}, {"a", ErrStillPending}} {
		p.written()
		p.clock = p.clock.Add(PaceInterval)
		err := p.Resume(t.Context(), d, false)
		if !errors.Is(err, want.err) || errors.Is(err, ErrPaced) != (want.err == ErrPaced) { //nolint:errorlint // exact
			t.Errorf("the pass of %s ended with %v, want %v", want.written, err, want.err)
		}
		if diff := cmp.Diff([]string{want.written}, p.written()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	}
}

func TestPace_ApplicationSetsTakeTokens(t *testing.T) {
	p := newPacedPipeline(0.5)
	p.matches = func(target.Request) ([]target.Match, error) {
		keys := []postern.TargetKey{
			{Kind: postern.TargetApplication, Namespace: "demo", Name: "a"},
			{Kind: postern.TargetApplicationSet, Namespace: "demo", Name: "a"},
		}
		return []target.Match{{Key: keys[0]}, {Key: keys[1]}}, nil
	}
	d := p.push(t, false)
	results := d.Status.Targets
	if !Waits(d) || results[0].Result != postern.TargetWritten || results[1].Reason != ReasonPaced ||
		results[1].Kind != postern.TargetApplicationSet {
		t.Fatalf("got %+v", d.Status)
	}
	p.clock = p.clock.Add(PaceInterval)
	if err := p.Resume(t.Context(), d, false); err != nil || d.Status.Phase != postern.DeliveryApplied {
		t.Errorf("got %+v, %v", d.Status, err)
	}
}

// Nothing but an Application or ApplicationSet that was found by the repository takes a token.
func TestPace_OthersDoNotWait(t *testing.T) {
	// exhausted has no token left.
	exhausted := func(t *testing.T) *pacedPipeline {
		t.Helper()
		p := newPacedPipeline(0.5, "a", "b")
		if d := p.push(t, false); !Waits(d) {
			t.Fatalf("got %+v, want one that waits", d.Status)
		}
		p.written()
		return p
	}
	t.Run("GatewaySync", func(t *testing.T) {
		p := exhausted(t)
		p.matches = func(target.Request) ([]target.Match, error) {
			return []target.Match{{Key: postern.TargetKey{
				Kind: postern.TargetGatewaySync, Namespace: "demo", Name: "plant",
			}}}, nil
		}
		if d := p.push(t, false); d.Status.Phase != postern.DeliveryApplied {
			t.Errorf("got %+v", d.Status)
		}
	})
	t.Run("image", func(t *testing.T) {
		d, err := exhausted(t).Deliver(t.Context(), toAll(), pushOf(t, 1), false)
		if err != nil || d.Status.Phase != postern.DeliveryApplied {
			t.Errorf("got %+v, %v", d.Status, err)
		}
	})
	t.Run("image and ref in one delivery", func(t *testing.T) {
		p := exhausted(t)
		key := postern.TargetKey{Kind: postern.TargetApplication, Namespace: "demo", Name: "a"}
		image := &postern.DeliveryEvent{Ref: "v1", Image: &postern.ImageReference{Repository: "a/b", Tag: "v1"}}
		written := p.write(t.Context(), []task{
			{key: key, event: &postern.DeliveryEvent{Ref: "main"}, matched: true},
			{key: key, event: image, matched: true},
		}, false)
		if r := resultsOf(written); r[0].Reason != ReasonPaced || r[1].Result != postern.TargetWritten {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("by target", func(t *testing.T) {
		to, r := pushOfFiles("lib/a")
		to.Spec.Target = &postern.TargetReference{Kind: postern.TargetApplication, Name: "a"}
		d, err := exhausted(t).Deliver(t.Context(), to, r, false)
		if err != nil || d.Status.Phase != postern.DeliveryApplied {
			t.Errorf("got %+v, %v", d.Status, err)
		}
	})
	t.Run("redelivery", func(t *testing.T) {
		p := exhausted(t)
		d, err := p.Redeliver(t.Context(), p.push(t, false), ci, false)
		if err != nil || d.Status.Phase != postern.DeliveryApplied {
			t.Errorf("got %+v, %v", d.Status, err)
		}
	})
	t.Run("dry run", func(t *testing.T) {
		if d := exhausted(t).push(t, true); d.Status.Phase != postern.DeliveryApplied {
			t.Errorf("got %+v", d.Status)
		}
		p := newPacedPipeline(0.5, "a")
		p.push(t, true)
		if d := p.push(t, false); d.Status.Phase != postern.DeliveryApplied {
			t.Errorf("after a dry run got %+v", d.Status)
		}
	})
	t.Run("unaffected", func(t *testing.T) {
		p := newPacedPipeline(0.5)
		p.matches = matchingUnaffected("x", "xx", "y")
		if d := p.push(t, false); d.Status.Phase != postern.DeliveryApplied {
			t.Errorf("got %+v", d.Status)
		}
	})
	t.Run("no limit", func(t *testing.T) {
		if d := newPacedPipeline(0, apps(100)...).push(t, false); d.Status.Phase != postern.DeliveryApplied {
			t.Errorf("got %+v", d.Status)
		}
	})
}

func TestPace_NewerPushSupersedes(t *testing.T) {
	p := newPacedPipeline(0.5, "a", "b")
	d := p.push(t, false)
	p.atTarget = map[string]atTarget{"b": {outcome: target.Result{Reason: target.ReasonSuperseded}}}
	p.clock = p.clock.Add(PaceInterval)
	if err := p.Resume(t.Context(), d, false); err != nil {
		t.Fatal(err)
	}
	want := summary{
		"Applied", "Requested", "1 written, 0 unchanged, 0 skipped, 1 superseded, 0 pending, 0 failed",
		[]string{"a main: Written Requested", "b main: Superseded Superseded"},
	}
	if diff := cmp.Diff(want, summaryOf(d.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if request := p.request; !request.Retry || !request.Received.Equal(received) {
		t.Errorf("got %+v, want a retry with the first receipt", request)
	}
}

func TestPace_EndOfWindow(t *testing.T) {
	p := newPacedPipeline(0.5, "a", "b", "c")
	d := p.push(t, false)
	p.clock = p.clock.Add(PaceInterval)
	p.events = nil
	if err := p.Resume(t.Context(), d, true); err != nil {
		t.Fatal(err)
	}
	want := summary{
		"Failed", "Paced", "2 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 1 failed; " + noTurn,
		[]string{"a main: Written Requested", "b main: Written Requested", "c main: Failed Paced"},
	}
	if diff := cmp.Diff(want, summaryOf(d.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if r := d.Status.Targets[2]; r.Message != noTurn || !r.Time.Time.Equal(p.clock) {
		t.Errorf("got %+v, want the message %q at %s", r, noTurn, p.clock)
	}
	if events := strings.Join(p.events, "\n"); !strings.Contains(events, noTurn) {
		t.Errorf("got events %q", events)
	}
	// Its refresh is owed, so that no later push leaves the Application out.
	p.journal = nil
	p.HandleRecord(d)
	isOwed := func(s string) bool { return strings.HasPrefix(s, "owed Application demo/c ") }
	if !slices.ContainsFunc(p.journal, isOwed) {
		t.Errorf("noted %q", p.journal)
	}
}

func TestPace_RestartContinues(t *testing.T) {
	stored := mustJSON(t, newPacedPipeline(0.5, "a", "b", "c").push(t, false))
	d := &postern.WebhookDelivery{}
	if err := json.Unmarshal(stored, d); err != nil {
		t.Fatal(err)
	}
	if !Waits(d) || !Attempted(d) {
		t.Fatalf("got %+v, want one that waits", d.Status)
	}
	p := newPacedPipeline(0.5, "a", "b", "c")
	if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrPaced) {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b"}, p.written()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// A repeat is not retried, so its sender learns how many Applications were not asked.
func TestPace_RepeatTakesTokens(t *testing.T) {
	p := newPacedPipeline(1, "a", "b", "c")
	d := p.push(t, false)
	p.clock = p.clock.Add(PaceInterval)
	if err := p.Resume(t.Context(), d, false); err != nil {
		t.Fatal(err)
	}
	p.written()
	const want = "; 1 targets that hold the ref were asked again to act on it, 2 could not be"
	if note := p.requestAgain(t.Context(), d, d); note != want {
		t.Errorf("got %q, want %q", note, want)
	}
	if diff := cmp.Diff([]string{"a"}, p.written()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

func TestPacer_NamespacesAreSeparate(t *testing.T) {
	p := newPacer(0.5)
	if !p.take("a", now) || p.take("a", now) || !p.take("b", now.Add(time.Second)) {
		t.Error("want one token for each namespace")
	}
	p.take("c", now.Add(PaceInterval))
	if _, found := p.tokens.byNamespace["a"]; found || len(p.tokens.byNamespace) != 2 {
		t.Errorf("got the buckets %v, want b and c: that of a is full again", p.tokens.byNamespace)
	}
}
