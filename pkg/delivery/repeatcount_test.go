// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

// Repeats of many records in one namespace must not prevent counting repeats in others.
func TestRepeatCount_NamespacesHaveShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memoryRecords{}
		p := pipelineOn(s)
		once(t, p)
		note := func() {
			for i := range maxRepeatCounts {
				record := toPlant()
				record.Namespace, record.Name = "hostile", fmt.Sprint("record-", i)
				p.repeats.add(t.Context(), record, record)
			}
		}
		note()
		if _, err := repeat(t, p); err != nil {
			t.Fatal(err)
		}
		advance(10 * repeatCountInterval)
		synctest.Wait()
		if got := s.all()[0].Status.Repeats; got == nil || got.Count != 1 {
			t.Errorf("counted %+v, want 1", got)
		}
		if left := len(p.repeats.open); left > 0 {
			t.Fatalf("%d counts are open", left)
		}
		note()
		if begun := len(p.repeats.open); begun != maxRepeatCounts/2 {
			t.Errorf("then %d counts are open, want %d", begun, maxRepeatCounts/2)
		}
		p.Drain()
	})
}

// fullRecords reject a longer status as too large.
type fullRecords struct {
	*memoryRecords
	tries int
}

func (s *fullRecords) UpdateStatus(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	if delivery.Status.Repeats == nil {
		return s.memoryRecords.UpdateStatus(ctx, delivery)
	}
	s.tries++
	return nil, apierrors.NewRequestEntityTooLargeError("etcdserver: request is too large")
}

func TestRepeatCount_FullRecordIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fullRecords{memoryRecords: &memoryRecords{}}
		p := pipelineOn(s.memoryRecords, func(c *Config) { c.Records = s })
		_, _ = p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
		settle(p)
		if _, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false); err != nil {
			t.Fatal(err)
		}
		advance(time.Hour)
		synctest.Wait()
		if s.tries != 1 || len(p.repeats.open) > 0 {
			t.Errorf("tried %d times, want once; %d counts are open", s.tries, len(p.repeats.open))
		}
		p.Drain()
	})
}

// slowRecords fail once to store repeats, after longer than the interval.
type slowRecords struct {
	*memoryRecords
	failed bool
}

func (s *slowRecords) UpdateStatus(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	if delivery.Status.Repeats == nil || s.failed {
		return s.memoryRecords.UpdateStatus(ctx, delivery)
	}
	s.failed = true
	<-time.After(repeatCountInterval + time.Second)
	return nil, apierrors.NewTimeoutError("etcd is slow", 1)
}

func TestRepeatCount_SlowAndFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowRecords{memoryRecords: &memoryRecords{}}
		p := pipelineOn(s.memoryRecords, func(c *Config) { c.Records = s })
		_, _ = p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
		settle(p)
		if _, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false); err != nil {
			t.Fatal(err)
		}
		advance(10 * repeatCountInterval)
		synctest.Wait()
		if got := s.all()[0].Status.Repeats; got == nil || got.Count != 1 {
			t.Errorf("counted %+v, want 1", got)
		}
		if left := len(p.repeats.open); left > 0 {
			t.Errorf("%d counts are open", left)
		}
		p.Drain()
	})
}
