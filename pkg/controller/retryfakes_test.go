// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cachetesting "k8s.io/client-go/tools/cache/testing"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

const window = time.Hour

// fakeSource lists and watches pending deliveries.
type fakeSource struct {
	*cachetesting.FakeControllerSource
}

// IsWatchListSemanticsUnSupported returns the same as the storage.
func (fakeSource) IsWatchListSemanticsUnSupported() bool { return true }

// resumeCall is one call of Resume.
type resumeCall struct {
	Name   string
	After  time.Duration // since the start of the test
	GiveUp bool
}

// retryFixture is a source and a Resumer in a test with a fake clock.
type retryFixture struct {
	source fakeSource
	began  time.Time
	// answer returns the outcome of a call. A delivery that is resumed is no longer pending.
	answer func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error

	mu    sync.Mutex
	calls []resumeCall
}

// runRetryTest runs a test with a fake clock. It fails if a goroutine is left at the end.
func runRetryTest(t *testing.T, test func(t *testing.T, b *retryFixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &retryFixture{source: fakeSource{cachetesting.NewFakeControllerSource()}, began: time.Now()}
		b.answer = func(context.Context, *postern.WebhookDelivery, bool) error { return nil }
		test(t, b)
		b.source.Shutdown()
		advance(time.Second) // a queue ends up to half a second after its shutdown
	})
}

func (b *retryFixture) Resume(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error {
	b.mu.Lock()
	b.calls = append(b.calls, resumeCall{d.Name, time.Since(b.began), giveUp})
	b.mu.Unlock()
	err := b.answer(ctx, d, giveUp)
	if err == nil {
		b.source.Delete(d.DeepCopy())
	}
	return err
}

// start runs a new controller until stop is called.
func (b *retryFixture) start(t *testing.T) (stop func()) {
	t.Helper()
	retry := NewRetryController(b.source, b, window)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- retry.Start(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	}
}

// tried returns the calls since the last time.
func (b *retryFixture) tried() []resumeCall {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

// pendingSince returns a delivery without a target that was received some time ago and may still be in progress.
func (b *retryFixture) pendingSince(name string, ago time.Duration) *postern.WebhookDelivery {
	d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}}
	d.Status.Phase = postern.DeliveryPending
	d.Status.ReceivedTime = &metav1.MicroTime{Time: time.Now().Add(-ago)}
	return d
}

// attempted marks the first attempt at a delivery as over.
func attempted(d *postern.WebhookDelivery) *postern.WebhookDelivery {
	d.Status.Reason = delivery.ReasonTargetUnavailable
	return d
}

// to sets the target of a delivery.
func to(name string, d *postern.WebhookDelivery) *postern.WebhookDelivery {
	d.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: name}
	return d
}

// stillPending is the outcome of a retry that fails.
func stillPending(context.Context, *postern.WebhookDelivery, bool) error {
	return fmt.Errorf("down: %w", delivery.ErrStillPending)
}

func names(calls []resumeCall) []string {
	var names []string
	for _, c := range calls {
		names = append(names, c.Name)
	}
	return names
}

// advance advances the fake clock in a bubble of testing/synctest.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the clock is fake
}
