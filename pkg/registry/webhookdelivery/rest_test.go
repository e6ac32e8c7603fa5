// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"postern.dev/postern/apis/postern"
)

func TestCreatingADeliveryCarriesItOut(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		carrier := &fakeCarrier{}
		sent := &postern.WebhookDelivery{}
		var validated runtime.Object
		validate := func(_ context.Context, obj runtime.Object) error { validated = obj; return nil }
		created, err := NewREST(nil, carrier).Create(t.Context(), sent, validate, &metav1.CreateOptions{DryRun: dryRunOption(dryRun)})
		if err != nil {
			t.Fatal(err)
		}
		if got := created.(*postern.WebhookDelivery).Status.Phase; got != postern.DeliveryApplied {
			t.Errorf("answered the phase %q, want that of the record", got)
		}
		if carrier.carried != sent || carrier.dryRun != dryRun {
			t.Errorf("carried %p, dry run %t; want %p, %t", carrier.carried, carrier.dryRun, sent, dryRun)
		}
		if validated == sent {
			t.Error("validating admission could change what is carried out")
		}
	}
}

func TestADeliveryThatAdmissionRefusesIsNotCarriedOut(t *testing.T) {
	refusal := errors.New("a policy says no")
	carrier := &fakeCarrier{}
	validate := func(context.Context, runtime.Object) error { return refusal }
	_, err := NewREST(nil, carrier).Create(t.Context(), &postern.WebhookDelivery{}, validate, &metav1.CreateOptions{})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v, want %v", err, refusal)
	}
	if carrier.carried != nil {
		t.Error("it was carried out")
	}
}

// An error would make clients create it again, which can't work under the same name.
func TestADeliveryThatWasRecordedAndFailedIsAnsweredAsTheObjectThatItIs(t *testing.T) {
	failed := &postern.WebhookDelivery{Status: postern.WebhookDeliveryStatus{Phase: postern.DeliveryFailed}}
	for name, test := range map[string]struct {
		recorded *postern.WebhookDelivery
		wantErr  bool
	}{
		"recorded":     {failed, false},
		"not recorded": {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			carrier := failingCarrier{test.recorded, errors.New("the target is frozen")}
			got, err := NewREST(nil, carrier).Create(t.Context(), &postern.WebhookDelivery{}, nil, &metav1.CreateOptions{})
			if (err != nil) != test.wantErr {
				t.Errorf("got error %v, want one: %t", err, test.wantErr)
			}
			if !test.wantErr && got != runtime.Object(failed) {
				t.Errorf("got %v, want the record", got)
			}
		})
	}
}

func (failingCarrier) Drain() {}

type failingCarrier struct {
	recorded *postern.WebhookDelivery
	err      error
}

func (c failingCarrier) Carry(context.Context, *postern.WebhookDelivery, bool) (*postern.WebhookDelivery, error) {
	return c.recorded, c.err
}
