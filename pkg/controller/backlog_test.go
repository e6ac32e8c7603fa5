// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

func TestNewDeliveriesAreRefusedWhileTooManyArePending(t *testing.T) {
	pending, applied := recordsOf(10, postern.DeliveryPending), recordsOf(10, postern.DeliveryApplied)
	for _, test := range []struct {
		name    string
		records []postern.WebhookDelivery
		full    bool
	}{
		{"none", nil, false},
		{"as many as allowed", pending, false},
		{"as many as allowed, and finished ones", slices.Concat(pending, applied), false},
		{"finished ones alone", slices.Concat(applied, applied), false},
		{"too many", slices.Concat(pending, pending[:1]), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &Backlog{Records: &fakeRecords{records: test.records}, Max: 10}
			if err := b.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := b.Full()
			if full := apierrors.IsTooManyRequests(err); full != test.full || (err != nil) != test.full {
				t.Errorf("got error %v, want one: %t", err, test.full)
			}
			if seconds, ok := apierrors.SuggestsClientDelay(err); test.full && (!ok || seconds != 15) {
				t.Errorf("the error suggests to wait %d seconds, want 15", seconds)
			}
		})
	}
}

func TestABacklogThatIsWorkedOffLetsNewDeliveriesIn(t *testing.T) {
	records := &fakeRecords{records: recordsOf(11, postern.DeliveryPending)}
	synctest.Test(t, func(t *testing.T) {
		b := &Backlog{Records: records, Max: 10}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Start(ctx) }()
		synctest.Wait()
		if b.Full() == nil {
			t.Error("it is not full with 11 of 10")
		}
		records.keep(1)
		<-time.After(backlogInterval)
		synctest.Wait()
		if err := b.Full(); err != nil {
			t.Error(err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAStorageThatIsAwayLeavesTheBacklogAsItWas(t *testing.T) {
	records := &fakeRecords{records: recordsOf(11, postern.DeliveryPending)}
	b := &Backlog{Records: records, Max: 10}
	if err := b.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	records.err = errors.New("away")
	if err := b.look(t.Context()); !errors.Is(err, records.err) {
		t.Errorf("got error %v", err)
	}
	if b.Full() == nil {
		t.Error("the backlog was forgotten")
	}
}
