// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// A sender may repeat what asks for nothing, or for what nothing wants, as it may all else.
func TestARepeatOfWhatIsNotWrittenIsAnsweredWithTheFirstRecord(t *testing.T) {
	tested := Incoming{Header: http.Header{"X-Github-Event": {"ping"}, "X-Github-Delivery": {"d-1"}}, Body: []byte(`{}`), User: ci}
	for name, test := range map[string]struct {
		delivery *postern.WebhookDelivery
		in       Incoming
		dryRun   bool
	}{
		"asks for nothing":          {toPlant(), tested, false},
		"asks for nothing, dry run": {toPlant(), tested, true},
		"nothing wants it":          {toAll(), push("d-1", pushed), false},
		"nothing wants it, dry run": {toAll(), push("d-1", pushed), true},
	} {
		t.Run(name, func(t *testing.T) {
			p := repeatOf(firstDelivery("Ignored"))
			delivered, err := p.Deliver(t.Context(), test.delivery, test.in, test.dryRun)
			if err != nil {
				t.Fatal(err)
			}
			if s := delivered.Status; delivered.Name != "github-first" || s.Phase != "Ignored" || s.Reason != ReasonAlreadyDelivered || s.Message != repeated {
				t.Errorf("answered %s: %s, %s, %q", delivered.Name, s.Phase, s.Reason, s.Message)
			}
			if got := updatesIn(p.told()); got != nil || len(p.events) > 0 {
				t.Errorf("left %q and the events %q", got, p.events)
			}
		})
	}
}

func TestADryRunOfARepeatShowsWhatItWouldChangeAndLeavesNothing(t *testing.T) {
	for _, first := range []postern.DeliveryPhase{"Ignored", "Failed", "Pending"} {
		p := repeatOf(firstDelivery(first))
		delivered, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), true)
		if err != nil {
			t.Fatal(err)
		}
		if s := delivered.Status; delivered.Name != "github-first" || s.Phase != "Applied" || s.Reason != ReasonAlreadyDelivered {
			t.Errorf("first %s: answered %s: %s, %s; want Applied", first, delivered.Name, s.Phase, s.Reason)
		}
		if got := updatesIn(p.told()); got != nil || len(p.events) > 0 {
			t.Errorf("first %s: left %q and the events %q", first, got, p.events)
		}
	}
}

// Whether the target lacks the ref is not known, so it is found out later.
func TestARepeatWhoseTargetCannotBeFoundJustNowMakesTheRecordPending(t *testing.T) {
	down := unavailable(t)
	for _, phase := range []postern.DeliveryPhase{"Applied", "Failed", "Pending"} {
		first := firstDelivery(phase, result(postern.TargetResult{Result: "Written", Reason: "Requested", Time: metav1.NewTime(now.Add(-time.Hour))})...)
		p := repeatOf(first)
		p.resolveErr = down
		var stored *postern.WebhookDelivery
		p.onUpdate = func(d *postern.WebhookDelivery) error { stored = d.DeepCopy(); return nil }
		delivered, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
		if err != nil {
			t.Fatal(err)
		}
		if s := delivered.Status; s.Phase != "Pending" || s.Reason != ReasonAlreadyDelivered {
			t.Errorf("first %s: answered %s, %s", phase, s.Phase, s.Reason)
		}
		if phase == "Pending" {
			if stored != nil {
				t.Errorf("first %s: stored anew", phase)
			}
			continue
		}
		if stored == nil || stored.Status.Phase != "Pending" || stored.Status.Targets != nil || stored.Status.Reason != ReasonTargetUnavailable {
			t.Errorf("first %s: stored %+v, want a record whose target is tried again", phase, stored)
		}
	}
}

// By the time of the first, long ago, its window would be over, and what was written since would outdate it.
func TestARepeatThatIsPendingIsAsOldAsTheRepeat(t *testing.T) {
	long := metav1.NewMicroTime(received.Add(-48 * time.Hour))
	for name, test := range map[string]struct {
		arrange func(*pipeline)
		phase   postern.DeliveryPhase
		want    time.Time
	}{
		"written":       {func(*pipeline) {}, "Applied", long.Time},
		"unwritten":     {func(p *pipeline) { p.writeErr = unavailable(t) }, "Pending", received},
		"not looked up": {func(p *pipeline) { p.resolveErr = unavailable(t) }, "Pending", received},
	} {
		first := firstDelivery("Failed")
		first.Status.ReceivedTime = &long
		p := repeatOf(first)
		var stored *postern.WebhookDelivery
		p.onUpdate = func(d *postern.WebhookDelivery) error { stored = d.DeepCopy(); return nil }
		test.arrange(p)
		if _, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false); err != nil {
			t.Fatal(err)
		}
		if stored.Status.Phase != test.phase || !stored.Status.ReceivedTime.Time.Equal(test.want) {
			t.Errorf("%s: stored as %s, received %s; want %s, %s", name, stored.Status.Phase, stored.Status.ReceivedTime, test.phase, test.want)
		}
	}
}

// An id is the sender's: of a stranger's delivery, nothing is said of those that came before.
func TestARepeatIsVerifiedAsAnyOther(t *testing.T) {
	p, in := repeatOf(firstDelivery("Applied")), push("d-1", pushed)
	in.User = nil
	_, err := p.Deliver(t.Context(), toPlant(), in, false)
	if got := answered(t, err).Code; got != http.StatusUnauthorized || len(p.journal) > 0 {
		t.Errorf("answered %d after %q", got, p.journal)
	}
}
