// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

const repeated = "this is a repeat of a delivery of 2026-01-02 03:04:05 UTC"

// push is a delivery of GitHub under an id.
func push(id, body string) Incoming {
	return Incoming{Header: http.Header{"X-Github-Event": {"push"}, "X-Github-Delivery": {id}}, Body: []byte(body), User: ci}
}

// nameOf is the name that a delivery is recorded under.
func nameOf(t *testing.T, d *postern.WebhookDelivery, in Incoming) string {
	t.Helper()
	p := newDefaultPipeline()
	var recorded *postern.WebhookDelivery
	p.onRecord = func(d *postern.WebhookDelivery) error { recorded = d; return nil }
	if _, err := p.Deliver(t.Context(), d, in, false); err != nil {
		t.Fatal(err)
	}
	p.Drain()
	return recorded.GenerateName + recorded.Name
}

func TestADeliveryWithAnIDIsNamedAfterWhatMakesARepeat(t *testing.T) {
	other := `{"ref":"refs/heads/dev","after":"` + revision + `"}`
	first := nameOf(t, toPlant(), push("d-1", pushed))
	// The name is what replicas, and versions of Postern, agree on.
	if want := "github-4c054d2110e926b38460"; first != want {
		t.Errorf("named %s, want %s", first, want)
	}
	if got := nameOf(t, toPlant(), push("d-1", pushed)); got != first {
		t.Errorf("a repeat is named %s, want %s", got, first)
	}
	shop := toPlant()
	shop.Spec.Target = &postern.TargetReference{Kind: postern.TargetApplication, Name: "plant"}
	web := toPlant()
	web.Spec.Target.Name = "web"
	for what, got := range map[string]string{
		"another id":              nameOf(t, toPlant(), push("d-2", pushed)),
		"another body":            nameOf(t, toPlant(), push("d-1", other)),
		"another target":          nameOf(t, web, push("d-1", pushed)),
		"another kind":            nameOf(t, shop, push("d-1", pushed)),
		"no target in particular": nameOf(t, toAll(), push("d-1", pushed)),
	} {
		if got == first {
			t.Errorf("%s: named as if it were a repeat", what)
		}
	}
	// v1, v2, v1 in a row are three deliveries.
	if got := nameOf(t, toPlant(), release()); got != "generic-" {
		t.Errorf("without an id: named %s, want a name of its own", got)
	}
}

// The client has named an object, or wants a new one each time.
func TestAnObjectIsNotNamedAfterItsContent(t *testing.T) {
	d := objectToPlant(postern.WebhookDeliverySpec{
		RawPayload: []byte(pushed), Headers: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1"},
	})
	if err := newDefaultPipeline().ReceiveObject(t.Context(), d, ci, ""); err != nil {
		t.Fatal(err)
	}
	if d.Name != "" || d.GenerateName != "github-" {
		t.Errorf("named %q, %q", d.Name, d.GenerateName)
	}
}

// firstDelivery is the record of a delivery that came to this.
func firstDelivery(phase postern.DeliveryPhase, results ...postern.TargetResult) *postern.WebhookDelivery {
	d := toPlant()
	d.Name, d.CreationTimestamp = "github-first", metav1.NewTime(now)
	if conclude(d, append(results, result(postern.TargetResult{Result: postern.TargetSkipped})...), now); len(results) > 0 {
		conclude(d, results, now)
	}
	d.Status.Phase = phase
	return d
}

// repeatOf is a pipeline to which a delivery comes that came before.
func repeatOf(first *postern.WebhookDelivery) *pipeline {
	p := newDefaultPipeline()
	p.onRecord = nameTaken
	p.onGet = func() (*postern.WebhookDelivery, error) { return first.DeepCopy(), nil }
	return p
}

func TestARepeatIsAnsweredWithTheFirstRecordWhichTellsOfWhatItChanged(t *testing.T) {
	written := result(postern.TargetResult{Result: "Written", Reason: "Requested"})[0]
	failed := result(postern.TargetResult{Result: "Failed", Reason: "TargetRefused"})[0]
	down := unavailable(t)
	held := func(p *pipeline) { p.outcome = target.Outcome{Held: true, Reason: target.ReasonAlreadyRequested} }
	for name, test := range map[string]struct {
		first    *postern.WebhookDelivery
		arrange  func(*pipeline)
		phase    postern.DeliveryPhase
		code     int32 // 0 is no error
		recorded []string
		events   int
	}{
		"the target holds it":       {firstDelivery("Applied", written), held, "Applied", 0, nil, 0},
		"the target lacks it":       {firstDelivery("Applied", written), func(*pipeline) {}, "Applied", 0, []string{"update Applied"}, 1},
		"the target is unreachable": {firstDelivery("Applied", written), func(p *pipeline) { p.writeErr = down }, "Pending", 0, []string{"update Pending"}, 0},
		"the target refuses":        {firstDelivery("Applied", written), func(p *pipeline) { p.writeErr = errors.New("frozen") }, "Failed", 500, []string{"update Failed"}, 1},
		"it failed and is written":  {firstDelivery("Failed", failed), func(*pipeline) {}, "Applied", 0, []string{"update Applied"}, 1},
		"it failed and is held now": {firstDelivery("Failed", failed), held, "Applied", 0, []string{"update Applied"}, 0},
		"it failed and fails again": {firstDelivery("Failed", failed), func(p *pipeline) { p.writeErr = errors.New("frozen") }, "Failed", 500, []string{"update Failed"}, 1},
		// The repeat overtook the first, which will find that there is nothing to do. Else whoever carries that out will tell.
		"it is pending and written":     {firstDelivery("Pending"), func(*pipeline) {}, "Applied", 0, []string{"update Applied"}, 1},
		"it is pending and held":        {firstDelivery("Pending"), held, "Pending", 0, nil, 0},
		"it is pending and can't be":    {firstDelivery("Pending"), func(p *pipeline) { p.writeErr = errors.New("frozen") }, "Pending", 0, nil, 0},
		"it is pending and unreachable": {firstDelivery("Pending"), func(p *pipeline) { p.writeErr = down }, "Pending", 0, nil, 0},
		"it was ignored":                {firstDelivery("Ignored"), func(p *pipeline) { p.outcome = target.Outcome{Reason: target.ReasonNotFollowed} }, "Ignored", 0, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := repeatOf(test.first)
			test.arrange(p)
			delivered, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
			if test.code != 0 {
				if got := answered(t, err).Code; got != test.code {
					t.Errorf("answered %d, want %d", got, test.code)
				}
			} else if err != nil {
				t.Fatal(err)
			} else if s := delivered.Status; s.Reason != ReasonAlreadyDelivered || s.Message != repeated {
				t.Errorf("answered %s, %q", s.Reason, s.Message)
			}
			if delivered.Name != "github-first" || delivered.Status.Phase != test.phase {
				t.Errorf("answered %s in phase %s, want the first in phase %s", delivered.Name, delivered.Status.Phase, test.phase)
			}
			if diff := cmp.Diff(test.recorded, updatesIn(p.told())); diff != "" {
				t.Errorf("updates (-want +got):\n%s", diff)
			}
			if len(p.events) != test.events {
				t.Errorf("events %q, want %d", p.events, test.events)
			}
		})
	}
}

func updatesIn(journal []string) []string {
	var updates []string
	for _, line := range journal {
		if strings.HasPrefix(line, "update ") {
			updates = append(updates, line)
		}
	}
	return updates
}

// The record keeps the reason that it has: AlreadyDelivered is said of the repeat.
func TestTheRecordKeepsItsOwnReason(t *testing.T) {
	p := repeatOf(firstDelivery("Applied", result(postern.TargetResult{Result: "Written", Reason: "Requested"})...))
	p.onUpdate = func(d *postern.WebhookDelivery) error {
		if d.Status.Reason != "Requested" {
			t.Errorf("recorded %s", d.Status.Reason)
		}
		return nil
	}
	if _, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false); err != nil {
		t.Fatal(err)
	}
}

func TestTheLogTellsWhoSentARepeatAndNotWhoWasFirst(t *testing.T) {
	first := firstDelivery("Applied", result(postern.TargetResult{Result: "Written", Reason: "Requested"})...)
	first.Status.Sender = &postern.Sender{Name: "the-first", Method: "HMAC"}
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	answer, err := repeatOf(first).Deliver(klog.NewContext(t.Context(), logger), toPlant(), push("d-1", pushed), false)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Status.Sender.Name; got != "the-first" {
		t.Errorf("answered with the sender %s, want the record of the first", got)
	}
	log := logger.GetSink().(ktesting.Underlier).GetBuffer().String()
	if want := `sender="` + ci.Name + `" method="ServiceAccount"`; !strings.Contains(log, want) || strings.Contains(log, "the-first") {
		t.Errorf("the log is %q, want %s in it", log, want)
	}
}

func TestTheRecordOfTheFirstIsReadAnewWhenItChanges(t *testing.T) {
	p := repeatOf(firstDelivery("Applied", result(postern.TargetResult{Result: "Written", Reason: "Requested"})...))
	conflicts := 2
	p.onUpdate = func(*postern.WebhookDelivery) error {
		if conflicts--; conflicts >= 0 {
			return apierrors.NewConflict(postern.Resource("webhookdeliveries"), "github-first", errors.New("changed"))
		}
		return nil
	}
	if _, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false); err != nil {
		t.Fatal(err)
	}
	want := []string{"get", "update", "get", "update", "get", "update"}
	var got []string
	journal := p.told()
	for _, line := range journal[len(journal)-len(want):] {
		got = append(got, strings.Fields(line)[0])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if len(p.events) != 1 {
		t.Errorf("events %q, want one", p.events)
	}
}

// There is no record then, and the sender must send it again.
func TestARepeatWhoseRecordCannotBeHadIsToBeSentAgain(t *testing.T) {
	conflict := apierrors.NewConflict(postern.Resource("webhookdeliveries"), "github-first", errors.New("changed"))
	for name, arrange := range map[string]func(*pipeline){
		"it has gone meanwhile": func(p *pipeline) {
			p.onGet = func() (*postern.WebhookDelivery, error) {
				return nil, apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "github-first")
			}
		},
		"it goes before it is stored": func(p *pipeline) {
			p.onUpdate = func(*postern.WebhookDelivery) error {
				return apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "github-first")
			}
		},
		"no storage": func(p *pipeline) {
			p.onGet = func() (*postern.WebhookDelivery, error) { return nil, errors.New("etcd is gone") }
		},
		"it changes all the time": func(p *pipeline) { p.onUpdate = func(*postern.WebhookDelivery) error { return conflict } },
	} {
		t.Run(name, func(t *testing.T) {
			p := repeatOf(firstDelivery("Applied", result(postern.TargetResult{Result: "Written", Reason: "Requested"})...))
			arrange(p)
			_, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
			got := answered(t, err)
			if got.Code != http.StatusServiceUnavailable || got.Details == nil || got.Details.RetryAfterSeconds != 1 {
				t.Errorf("answered %+v, want 503 and Retry-After", got)
			}
		})
	}
}
