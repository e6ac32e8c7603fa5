// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
	"postern.dev/postern/pkg/target"
)

// A record that is stored twice costs as much as the write.
func TestRecord_OnceWithOutcome(t *testing.T) {
	for pause, want := range map[time.Duration][]string{
		0:                              {"0s record Applied"},
		pendingDelay - time.Nanosecond: {"499.999999ms record Applied"},
		pendingDelay + time.Nanosecond: {"500ms record Pending", "500.000001ms update Applied"},
		answerTimeout / 2:              {"500ms record Pending", "4s update Applied"},
	} {
		t.Run(pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, began := newDefaultPipeline(), time.Now()
				var stored []string
				p.onStep = func(_ context.Context, step string) {
					if step == "write" {
						advance(pause)
					}
				}
				keep := func(step string) func(*postern.WebhookDelivery) error {
					return func(d *postern.WebhookDelivery) error {
						stored = append(stored, fmt.Sprint(time.Since(began), " ", step, " ", d.Status.Phase))
						pending := d.Status.Phase == postern.DeliveryPending
						if pending == Attempted(d) || pending != (len(d.Status.Targets) == 0) ||
							pending == meta.IsStatusConditionTrue(d.Status.Conditions, postern.ConditionApplied) {
							t.Errorf("%s: %+v", step, d.Status)
						}
						return nil
					}
				}
				p.onRecord, p.onUpdate = keep("record"), keep("update")
				answer, err := p.Deliver(t.Context(), toPlant(), release(), false)
				if took := time.Since(began); err != nil || answer.Status.Phase != postern.DeliveryApplied ||
					took > pause {
					t.Errorf("answered %v, %v after %s", answer, err, took)
				}
				p.Drain()
				if diff := cmp.Diff(want, stored); diff != "" {
					t.Errorf("stored (-want +got):\n%s", diff)
				}
				if len(p.events) != 1 {
					t.Errorf("got the events %q, want one", p.events)
				}
			})
		})
	}
}

// Nothing is left to do after the answer, so nothing is kept for it.
func TestRecord_OnceEndsWithAnswer(t *testing.T) {
	s := &memoryRecords{}
	p := pipelineOn(s)
	answer, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.inFlight.calls) > 0 || p.receipts.of(answer) != nil {
		t.Errorf("%d calls are in flight, and the receipt is %v", len(p.inFlight.calls), p.receipts.of(answer))
	}
	if diff := cmp.Diff(s.all(), []*postern.WebhookDelivery{answer}); diff != "" || s.updates > 0 {
		t.Errorf("%d updates; answer (-stored +answered):\n%s", s.updates, diff)
	}
	p.Drain()
}

// Otherwise two replicas that receive it concurrently both write.
func TestRecord_FirstIfReplicasMayRepeat(t *testing.T) {
	const name = "github-f67cbd2ac20d53800ea7"
	for way, test := range map[string]struct {
		request Request
		journal []string
	}{
		"with an id": {push("d-1", pushed), []string{"mutate", "validate", "get demo/" + name, "resolve " + plant,
			"record Pending", "write " + plant + " main", "update Applied"}},
		"without": {release(), []string{"mutate", "validate", "resolve " + plant, "write " + plant + " v2.0.0",
			"record Applied"}},
	} {
		p := newDefaultPipeline()
		p.Shared = true
		if _, err := p.Deliver(t.Context(), toPlant(), test.request, false); err != nil {
			t.Fatal(err)
		}
		got := p.calls()
		slices.Sort(got[:min(3, len(got))]) // admission and the look-up
		slices.Sort(test.journal[:3])
		if diff := cmp.Diff(test.journal, got); diff != "" {
			t.Errorf("%s: journal (-want +got):\n%s", way, diff)
		}
	}
}

// Another process records the same delivery after this one has looked for its record.
func TestRecord_RepeatAfterWriteIsAnsweredWithFirst(t *testing.T) {
	testBothWays(t, func(t *testing.T, arrange func(*pipeline)) {
		s := &memoryRecords{}
		first, second := pipelineOn(s), pipelineOn(s)
		second.onValidate = func(*postern.WebhookDelivery) error {
			_, err := first.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
			first.Drain()
			return err
		}
		arrange(second)
		answer, err := second.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
		if err != nil {
			t.Fatal(err)
		}
		if second.Drain(); len(second.requests) == 0 || answer.Status.Reason != ReasonAlreadyDelivered ||
			len(s.all()) != 1 {
			t.Errorf("answered %s with %d records", answer.Status.Reason, len(s.all()))
		}
		if len(first.events) != 1 || len(second.events) > 0 || second.receipts.of(answer) != nil {
			t.Errorf("events %q and %q; the repeat keeps the receipt %v", first.events, second.events,
				second.receipts.of(answer))
		}
	})
}

// etcd may be configured to accept less than its default. The outcome is recorded, and each target has its Event.
func TestRecord_TooLargeIsCut(t *testing.T) {
	const cuts = 3
	for refusals := range cuts + 2 {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			p, d, tries := newDefaultPipeline(), toAll(), 0
			d.Labels = map[string]string{"team": "a"}
			p.matches = matching("demo", "shop", "web")
			var stored *postern.WebhookDelivery
			p.onRecord = func(d *postern.WebhookDelivery) error {
				if tries++; tries <= refusals {
					return apierrors.NewRequestEntityTooLargeError("etcdserver: request is too large")
				}
				stored = d.DeepCopy()
				return nil
			}
			answer, err := p.Deliver(t.Context(), d, push("d-1", pushed), false)
			p.Drain()
			if writes := len(p.requests); writes != 2 {
				t.Errorf("%d writes, want one for each target", writes)
			}
			if refusals > cuts {
				if got := answered(t, err).Code; got != http.StatusRequestEntityTooLarge || len(p.events) > 0 {
					t.Errorf("answered %d, with the events %q", got, p.events)
				}
				if p.receipts.of(p.attributes.GetObject().(*postern.WebhookDelivery)) == nil {
					t.Error("the receipt of the write is forgotten")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := stored.Status; s.Phase != postern.DeliveryApplied || s.Reason != target.ReasonRequested ||
				(len(s.Targets) == 2) != (refusals == 0) || (s.Message != "") != (refusals < 2) ||
				(len(s.Conditions) > 0) != (refusals < 2) || (len(stored.Labels) > 0) != (refusals < 3) {
				t.Errorf("recorded %+v, labels %v", s, stored.Labels)
			}
			if diff := cmp.Diff(stored, answer); diff != "" {
				t.Errorf("answer (-stored +answered):\n%s", diff)
			}
			if len(p.events) != 2 {
				t.Errorf("got the events %q, want one for each target", p.events)
			}
		})
	}
}

// The larger limit of a record with results is not for clients, who can't set the status.
func TestRecord_StatusOfClientMakesNoRoom(t *testing.T) {
	d := objectToPlant(postern.WebhookDeliverySpec{Ref: "v2.0.0"})
	d.Name, d.Status = "large", deliveryWithResults(100).Status
	d.Annotations = map[string]string{"x": strings.Repeat("&", 38<<10)}
	p := newDefaultPipeline()
	if err := p.ReceiveObject(t.Context(), d, ci, "", false); err != nil {
		t.Fatal(err)
	}
	p.onRecord = func(d *postern.WebhookDelivery) error {
		if size, err := validation.EncodedBytes(d); err != nil || size > validation.MaxRecordBytes ||
			len(d.Status.Targets) > 0 {
			t.Errorf("recorded first with %d results in %d bytes, %v", len(d.Status.Targets), size, err)
		}
		return nil
	}
	if _, err := p.Execute(t.Context(), d, false); err != nil {
		t.Fatal(err)
	}
	p.Drain()

	d.Status.Targets = deliveryWithResults(100).Status.Targets // as if admission had set it
	if _, err := p.Execute(t.Context(), d, false); !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("a status that the server has not set makes room: %v", err)
	}
}

// The answer says what is known: a write after it could still change the target.
func TestRecord_ErrorWaitsForSlowWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newDefaultPipeline()
		p.writeSlowly()
		p.onRecord = func(*postern.WebhookDelivery) error { return errors.New("etcd is gone") }
		began := time.Now()
		_, err := p.Deliver(t.Context(), toPlant(), release(), false)
		if took := time.Since(began); answered(t, err).Code != http.StatusServiceUnavailable || took != 2*pendingDelay {
			t.Errorf("answered %v after %s, want 503 after %s", err, took, 2*pendingDelay)
		}
	})
}
