// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"postern.dev/postern/apis/postern"
)

func TestFinalStatus_StoredAfterWriteTimeout(t *testing.T) {
	down := unavailable(t)
	synctest.Test(t, func(t *testing.T) {
		p, start := newDefaultPipeline(), time.Now()
		p.onStep = func(ctx context.Context, step string) {
			switch step {
			case "write":
				<-ctx.Done()
				p.writeErr = down
			case "update":
				if ctx.Err() != nil {
					t.Error("the context has expired")
				}
			}
		}
		delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
		if err != nil || delivered.Status.Phase != postern.DeliveryPending {
			t.Errorf("got %v, %v; want a pending delivery", delivered, err)
		}
		if took := time.Since(start); took != answerTimeout {
			t.Errorf("it took %s, want %s", took, answerTimeout)
		}
		if got := p.lastCall(); got != "update Pending" {
			t.Errorf("ended with %q, want the final status", got)
		}
	})
}

// The target holds the ref and a record exists. After an error the sender would deliver again.
func TestFinalStatus_StoreErrorIsNoFailure(t *testing.T) {
	for _, cause := range []error{
		errors.New("etcd is gone"),
		apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "release"),
		apierrors.NewConflict(postern.Resource("webhookdeliveries"), "release", errors.New("changed")),
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newDefaultPipeline()
			p.writeSlowly()
			p.onUpdate = func(*postern.WebhookDelivery) error { return cause }
			delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
			if err != nil {
				t.Fatal(err)
			}
			if delivered.Name != "generic-x" || delivered.Status.Phase != postern.DeliveryApplied {
				t.Errorf("%v: got %q in phase %s, want the record in phase Applied", cause, delivered.Name,
					delivered.Status.Phase)
			}
			if len(updatesIn(p.calls())) == 0 {
				t.Error("the final status was not stored")
			}
		})
	}
}

// Storing takes time. Senders must not wait for it, unless deliveries arrive faster than statuses are stored.
func TestFinalStatus_AnswerWaitsOnlyAtLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newDefaultPipeline()
		p.writeSlowly()
		stored := make(chan struct{})
		p.onUpdate = func(*postern.WebhookDelivery) error { <-stored; return nil }
		deliver := func() {
			if _, err := p.Deliver(t.Context(), toPlant(), release(), false); err != nil {
				t.Error(err)
			}
		}
		for range maxStatusUpdates {
			deliver()
		}
		answered, drained := make(chan struct{}), make(chan struct{})
		go func() { deliver(); close(answered) }()
		go func() { p.Drain(); close(drained) }()
		advance(3 * pendingDelay)
		synctest.Wait()
		select {
		case <-answered:
			t.Errorf("more than %d final statuses are stored concurrently", maxStatusUpdates)
		case <-drained:
			t.Error("Drain returned while final statuses are being stored")
		default:
		}
		close(stored)
		<-answered
		<-drained
		updates := 0
		for _, line := range p.journal {
			if line == "update Applied" {
				updates++
			}
		}
		if updates != maxStatusUpdates+1 {
			t.Errorf("%d final statuses were stored, want %d", updates, maxStatusUpdates+1)
		}
	})
}

// The record stays Pending and the delivery is retried; the log must say why.
func TestFinalStatus_LogContainsNoSecrets(t *testing.T) {
	conflict := apierrors.NewConflict(postern.Resource("webhookdeliveries"), "release", errors.New("changed"))
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"no storage":                 {errors.New("etcd is gone"), true},
		"deleted meanwhile":          {apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "release"), false},
		"stored by another, already": {conflict, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log lockedBuffer
			ctx := klog.NewContext(t.Context(),
				textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log), textlogger.Verbosity(9))))
			p, in := newDefaultPipeline(), release()
			p.writeSlowly()
			p.onUpdate = func(*postern.WebhookDelivery) error { return test.err }
			in.User, in.Header = nil, map[string][]string{
				"X-Hub-Signature-256": {sign(in.Body)}, "Authorization": {"Bearer " + secret},
			}
			if _, err := p.Deliver(ctx, toPlant(), in, false); err != nil {
				t.Fatal(err)
			}
			p.Drain()
			const message = `"Could not store the final status of a delivery" err="etcd is gone" ` +
				`delivery="demo/generic-x"`
			if got := strings.Contains(log.String(), message); got != test.want {
				t.Errorf("%s: logged: %t, want %t, in:\n%s", name, got, test.want, &log)
			}
			if strings.Contains(log.String(), secret) || strings.Contains(log.String(), sign(in.Body)) {
				t.Errorf("%s: a secret is in the log:\n%s", name, &log)
			}
		})
	}
}

// lockedBuffer is a buffer for concurrent logging.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
