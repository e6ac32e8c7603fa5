// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/fairness"
)

const (
	// repeatCountInterval is how often the count of a record's repeats is stored at most, however many come in. It is longer than
	// the shortest lease of etcd, or a record could outlive its time by being updated.
	repeatCountInterval = 10 * time.Second
	// maxRepeatCounts bounds how many records' repeats are being counted, and talliesSharePercent how many of those may be
	// of one namespace; see fairness.Share. Those of more records are not.
	maxRepeatCounts, talliesSharePercent = 1000, 50
	// maxRepeatUpdates bounds how many counts are being stored at once.
	maxRepeatUpdates = 64
)

// newTallies returns tallies of which none is open.
func newTallies(records Records) *repeatCounter {
	t := &repeatCounter{
		records: records, open: map[types.NamespacedName]*repeatCount{},
		room: fairness.NewCounter(fairness.Share{Total: maxRepeatCounts, Percent: talliesSharePercent}),
	}
	t.updates.SetLimit(maxRepeatUpdates)
	return t
}

// repeatCounter count repeats, and store the counts after the answers: the first repeat of a record at once, those that follow
// together. It is safe for concurrent use.
type repeatCounter struct {
	records Records
	room    *fairness.Counter

	mu sync.Mutex
	// updates are the counts that are being stored. They are begun under the lock and not after close, which waits for them.
	updates errgroup.Group
	open    map[types.NamespacedName]*repeatCount
	closed  bool
}

// repeatCount are the repeats of one record that are not stored yet.
type repeatCount struct {
	identity string
	repeats  postern.Repeats
	storing  int // how many stores of what was counted are under way, which may put it back
	timer    *time.Timer
	// leave gives back the room that it takes.
	leave func()
}

// repeatsOf is one repeat as a record counts it.
func repeatsOf(repeated *postern.WebhookDelivery) postern.Repeats {
	repeats := postern.Repeats{Count: 1, LastAuditID: repeated.Status.AuditID}
	if sender := repeated.Status.Sender; sender != nil {
		repeats.LastSender = *sender
	}
	if received := repeated.Status.ReceivedTime; received != nil {
		repeats.LastTime = metav1.NewTime(received.Truncate(time.Second))
	}
	return repeats
}

// addRepeats adds repeats to those that a status tells of.
func addRepeats(status *postern.WebhookDeliveryStatus, more postern.Repeats) {
	sum := more
	if status.Repeats != nil {
		sum.Count += status.Repeats.Count
		if more.LastTime.Before(&status.Repeats.LastTime) {
			sum = *status.Repeats
			sum.Count += more.Count
		}
	}
	status.Repeats = &sum
}

// add counts a repeat of what a record tells of.
func (t *repeatCounter) add(ctx context.Context, record, repeated *postern.WebhookDelivery) {
	key := types.NamespacedName{Namespace: record.Namespace, Name: record.Name}
	t.mu.Lock()
	defer t.mu.Unlock()
	one, open := t.open[key]
	if t.closed {
		return
	}
	if !open {
		leave, err := t.room.TryAcquire(fairness.Flow{Namespace: key.Namespace}, 1)
		if err != nil {
			return
		}
		one = &repeatCount{identity: record.Status.Identity, leave: leave}
		t.open[key] = one
	}
	counted := postern.WebhookDeliveryStatus{Repeats: &one.repeats}
	addRepeats(&counted, repeatsOf(repeated))
	one.repeats = *counted.Repeats
	if !open {
		t.storeAsync(context.WithoutCancel(ctx), key, one)
	}
}

// storeAsync stores what was counted, and looks again later whether there is more. The lock is held.
func (t *repeatCounter) storeAsync(ctx context.Context, key types.NamespacedName, one *repeatCount) {
	t.tryStore(ctx, key, one)
	one.timer = time.AfterFunc(repeatCountInterval, func() { t.flush(ctx, key, one) })
}

// tryStore begins to store what was counted, unless too much is being stored. The lock is held.
func (t *repeatCounter) tryStore(ctx context.Context, key types.NamespacedName, one *repeatCount) {
	counted := one.repeats
	if counted.Count == 0 {
		return
	}
	if t.updates.TryGo(func() error { t.store(ctx, key, one, counted); return nil }) {
		one.repeats = postern.Repeats{}
		one.storing++
	}
}

// flush stores what was counted meanwhile; without repeats the counting ends.
func (t *repeatCounter) flush(ctx context.Context, key types.NamespacedName, one *repeatCount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
	case one.repeats.Count > 0 || one.storing > 0:
		t.storeAsync(ctx, key, one)
	default:
		delete(t.open, key)
		one.leave()
	}
}

// store adds repeats to a record. One that is pending is left to the one that carries it out, and is told later.
func (t *repeatCounter) store(ctx context.Context, key types.NamespacedName, one *repeatCount, counted postern.Repeats) {
	defer t.stored(one)
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		record, err := t.records.Get(ctx, key.Namespace, key.Name)
		switch {
		case err != nil:
			return err
		case record.Status.Identity != one.identity: // it was deleted, and something else has its name
			return nil
		case record.Status.Phase == postern.DeliveryPending:
			t.restore(one, counted)
			return nil
		}
		addRepeats(&record.Status, counted)
		_, err = t.records.UpdateStatus(ctx, record)
		return err
	})
	switch {
	case err == nil || apierrors.IsNotFound(err):
	case isTooLarge(err): // nor will it ever be stored, and no other part of the record is given up for it
	default:
		klog.FromContext(ctx).V(2).Info("Could not store the repeats of a delivery", "delivery", klog.KRef(key.Namespace, key.Name), "err", err)
		t.restore(one, counted)
	}
}

func (t *repeatCounter) stored(one *repeatCount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one.storing--
}

func (t *repeatCounter) restore(one *repeatCount, counted postern.Repeats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := postern.WebhookDeliveryStatus{Repeats: &counted}
	if one.repeats.Count > 0 {
		addRepeats(&sum, one.repeats)
	}
	one.repeats = *sum.Repeats
}

// close stores what is left, as far as that goes at once, and counts no more.
func (t *repeatCounter) close(ctx context.Context) {
	t.closeAll(ctx)
	_ = t.updates.Wait()
}

func (t *repeatCounter) closeAll(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for key, one := range t.open {
		one.timer.Stop()
		t.tryStore(ctx, key, one)
	}
}
