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

// source lists and watches what is pending.
type source struct {
	*cachetesting.FakeControllerSource
}

// IsWatchListSemanticsUnSupported is that of the storage.
func (source) IsWatchListSemanticsUnSupported() bool { return true }

// resumeCall is one try.
type resumeCall struct {
	Name   string
	After  time.Duration // the test began
	GiveUp bool
}

// retryFixture is a source and a Resumer, at a time that begins with the test and passes only while everybody waits.
type retryFixture struct {
	source source
	began  time.Time
	// answer says what comes of a try. What ends is no longer pending.
	answer func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error

	mu    sync.Mutex
	calls []resumeCall
}

// runRetryTest runs a test in which time is not real. It fails if a goroutine is left in the end.
func runRetryTest(t *testing.T, test func(t *testing.T, b *retryFixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &retryFixture{source: source{cachetesting.NewFakeControllerSource()}, began: time.Now()}
		b.answer = func(context.Context, *postern.WebhookDelivery, bool) error { return nil }
		test(t, b)
		b.source.Shutdown()
		advance(time.Second) // a queue ends up to half a second after it is shut down
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

// start runs a new controller until it is stopped.
func (b *retryFixture) start(t *testing.T) (stop func()) {
	t.Helper()
	retry, err := NewRetryController(b.source, b, window, time.Now)
	if err != nil {
		t.Fatal(err)
	}
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

// tried returns the calls so far, and forgets them.
func (b *retryFixture) tried() []resumeCall {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

// pendingSince is a delivery to what wants it, that came in some time ago and is still under way, perhaps.
func (b *retryFixture) pendingSince(name string, ago time.Duration) *postern.WebhookDelivery {
	d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}}
	d.Status.Phase = postern.DeliveryPending
	d.Status.ReceivedTime = &metav1.MicroTime{Time: time.Now().Add(-ago)}
	return d
}

// attempted makes a delivery one that was tried, in vain.
func attempted(d *postern.WebhookDelivery) *postern.WebhookDelivery {
	d.Status.Reason = delivery.ReasonTargetUnavailable
	return d
}

// to names the target of a delivery.
func to(name string, d *postern.WebhookDelivery) *postern.WebhookDelivery {
	d.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: name}
	return d
}

// stillPending is what comes of a try in vain.
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

// advance lets time pass in a bubble of testing/synctest, where that takes none.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // it is not the clock on the wall
}
