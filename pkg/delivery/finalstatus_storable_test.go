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

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
	"postern.dev/postern/pkg/fairness"
	"postern.dev/postern/pkg/target"
)

// A delivery that can never be stored is refused before a target is written, with an error that does not ask to retry.
func TestStorable_RefusedBeforeWriting(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*postern.WebhookDelivery)
		code  int32
	}{
		"too large in JSON": {
			func(d *postern.WebhookDelivery) { d.Annotations = map[string]string{"x": strings.Repeat("&", 60<<10)} },
			http.StatusRequestEntityTooLarge,
		},
		"an invalid label": {
			func(d *postern.WebhookDelivery) { d.Labels = map[string]string{"a b": "c"} },
			http.StatusUnprocessableEntity,
		},
		"an invalid name": {
			func(d *postern.WebhookDelivery) { d.Name = "two words" }, http.StatusUnprocessableEntity,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for way, carry := range map[string]func(*pipeline, *postern.WebhookDelivery) error{
				"as a webhook": func(p *pipeline, d *postern.WebhookDelivery) error {
					test.spoil(d)
					_, err := p.Deliver(t.Context(), d, release(), false)
					return err
				},
				"as an object": func(p *pipeline, d *postern.WebhookDelivery) error {
					d.Spec.Ref = "v2.0.0"
					if err := p.ReceiveObject(t.Context(), d, ci, "", false); err != nil {
						t.Fatal(err)
					}
					test.spoil(d) // like an admission policy
					_, err := p.Execute(t.Context(), d, false)
					return err
				},
			} {
				p := newDefaultPipeline()
				err := carry(p, toPlant())
				status, ok := err.(apierrors.APIStatus)
				if !ok || status.Status().Code != test.code {
					t.Fatalf("%s: got %v, want %d", way, err, test.code)
				}
				if seconds, suggested := apierrors.SuggestsClientDelay(err); suggested {
					t.Errorf("%s: got Retry-After %d s", way, seconds)
				}
				for _, line := range p.calls() {
					if strings.HasPrefix(line, "write") || strings.HasPrefix(line, "record") {
						t.Errorf("%s: %s", way, line)
					}
				}
			}
		})
	}
}

func TestStorable_InvalidObjectErrorIsShort(t *testing.T) {
	d := toPlant()
	d.Name, d.Spec.Ref, d.Spec.Source = strings.Repeat("A", 60_000), "v2.0.0", strings.Repeat("s", 60_000)
	d.Spec.Target.Name = strings.Repeat("T", 60_000)
	err := newDefaultPipeline().ReceiveObject(t.Context(), d, ci, "", false)
	if !apierrors.IsInvalid(err) || len(err.Error()) > 2<<10 {
		t.Errorf("got an error of %d bytes: %.200v", len(err.Error()), err)
	}
	if redacted := redactInvalid(d); redacted.Name != "" || len(redacted.Spec.Source) > maxQuotedBytes {
		t.Errorf("got name %.80q, source of %d bytes", redacted.Name, len(redacted.Spec.Source))
	}
}

// deliveryWithResults returns a delivery with n results, each with a message that is large in JSON.
func deliveryWithResults(n int) *postern.WebhookDelivery {
	d := toPlant()
	d.Name = "wide"
	for i := range n {
		d.Status.Targets = append(d.Status.Targets, postern.TargetResult{
			Kind: postern.TargetApplication, Name: fmt.Sprint(i), Result: postern.TargetSkipped,
			Message: strings.Repeat("&", maxTextBytes),
		})
	}
	return d
}

func TestStorable_FinalStatusIsBounded(t *testing.T) {
	p := newDefaultPipeline()
	var stored *postern.WebhookDelivery
	p.onUpdate = func(d *postern.WebhookDelivery) error { stored = d.DeepCopy(); return nil }
	d := deliveryWithResults(900)
	d.Annotations = map[string]string{"x": strings.Repeat("&", 40<<10)}
	p.storeFinalStatus(t.Context(), d)
	size, err := validation.EncodedBytes(stored)
	if err != nil || size > validation.MaxFinalBytes || len(stored.Status.Targets) == 0 {
		t.Errorf("%d bytes are stored, with %d results: %v", size, len(stored.Status.Targets), err)
	}
	if len(d.Status.Targets) != 900 {
		t.Error("the answered delivery was changed")
	}
}

// Older records may be as large as etcd accepts, and etcd may be configured to accept less.
func TestStorable_LargeRecordEnds(t *testing.T) {
	tooLarge := apierrors.NewRequestEntityTooLargeError("etcdserver: request is too large")
	old := func() *postern.WebhookDelivery {
		d := deliveryWithResults(3)
		d.Annotations, d.Labels = map[string]string{"x": "&"}, map[string]string{"team": "a"}
		d.Status.Phase, d.Status.Reason = postern.DeliveryApplied, target.ReasonRequested
		d.Status.Message = "it was written"
		d.Status.Conditions = []metav1.Condition{condition("Applied", "True", "Requested", "it was written")}
		return d
	}
	type kept struct {
		Phase                          postern.DeliveryPhase
		Results, Conditions, Annotated int
	}
	for refusals, want := range map[int]kept{
		0: {postern.DeliveryApplied, 3, 1, 1},
		1: {postern.DeliveryApplied, 0, 1, 1},
		2: {postern.DeliveryApplied, 0, 0, 1},
		3: {postern.DeliveryApplied, 0, 0, 0},
	} {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			p, tries := newDefaultPipeline(), 0
			var got kept
			p.onUpdate = func(d *postern.WebhookDelivery) error {
				if tries++; tries <= refusals {
					return tooLarge
				}
				got = kept{d.Status.Phase, len(d.Status.Targets), len(d.Status.Conditions), len(d.Annotations)}
				return nil
			}
			p.storeFinalStatus(t.Context(), old())
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStorable_LargePendingDeliveryEnds(t *testing.T) {
	p := newDefaultPipeline()
	d := unfinished()
	d.Spec.Target = toPlant().Spec.Target
	p.onUpdate = func(d *postern.WebhookDelivery) error {
		if len(d.Status.Targets) > 0 {
			return apierrors.NewRequestEntityTooLargeError("etcdserver: request is too large")
		}
		return nil
	}
	if err := p.Resume(t.Context(), d, false); err != nil {
		t.Errorf("it is still pending: %v", err)
	}
	if got := p.calls(); !slices.Contains(got, "update Applied") {
		t.Errorf("got %v", got)
	}
}

func TestStorable_NamespaceOverShareIsRefused(t *testing.T) {
	p := newDefaultPipeline()
	p.Accepting = func(namespace string) error {
		if namespace == "demo" {
			return apierrors.NewTooManyRequests("full", 15)
		}
		return nil
	}
	if _, err := p.Deliver(t.Context(), toPlant(), release(), false); !apierrors.IsTooManyRequests(err) {
		t.Errorf("got %v", err)
	}
	if got := p.lastCall(); got != "validate" {
		t.Errorf("ended with %q, want neither record nor write", got)
	}
	other := toPlant()
	other.Namespace = "another"
	if _, err := p.Deliver(t.Context(), other, release(), false); err != nil {
		t.Errorf("another namespace: %v", err)
	}
}

// busy gives no flow a slot.
type busy struct{}

func (busy) Begin(context.Context, fairness.Flow) (end func(), err error) {
	return nil, apierrors.NewTooManyRequests("busy", 5)
}

func (busy) Await(context.Context, fairness.Flow) (end func(), err error) {
	return nil, errors.New("no free slot")
}

func TestTurns_RequestWithoutTurnGets429(t *testing.T) {
	p := newDefaultPipeline()
	p.Work = busy{}
	if _, err := p.Deliver(t.Context(), toPlant(), release(), false); !apierrors.IsTooManyRequests(err) {
		t.Errorf("got %v, want 429", err)
	}
}

// The sender is verified. A 429 would make it repeat what other namespaces have accepted.
func TestTurns_VerifiedDeliveryIsPending(t *testing.T) {
	p := newDefaultPipeline()
	p.Work = busy{}
	d := toAll()
	d.Spec.Events, d.Status.Sender = unfinished().Spec.Events, unfinished().Status.Sender
	recorded, err := p.Execute(t.Context(), d, false)
	if err != nil || recorded.Status.Phase != postern.DeliveryPending ||
		recorded.Status.Reason != ReasonTargetUnavailable {
		t.Errorf("got %+v, %v; want a pending delivery", recorded, err)
	}
	if _, err := p.Execute(t.Context(), d.DeepCopy(), true); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a dry run: got %v, want 503", err)
	}
}

// The last retry must be one that gets a slot.
func TestTurns_PendingDeliveryIsNotGivenUp(t *testing.T) {
	for name, pending := range map[string]*postern.WebhookDelivery{
		"never tried": unfinished(), "tried": unfinished(at("shop", postern.TargetPending, ReasonTargetUnavailable)),
	} {
		p := newDefaultPipeline()
		p.Work = busy{}
		for _, giveUp := range []bool{false, true} {
			if err := p.Resume(t.Context(), pending, giveUp); !errors.Is(err, ErrStillPending) ||
				pending.Status.Phase != postern.DeliveryPending {
				t.Errorf("%s, give up %t: got %v, and it is %s", name, giveUp, err, pending.Status.Phase)
			}
		}
	}
}
