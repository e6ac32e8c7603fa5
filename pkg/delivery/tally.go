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
	// tallyInterval is how often the count of a record's repeats is stored at most, however many come in. It is longer than
	// the shortest lease of etcd, or a record could outlive its time by being updated.
	tallyInterval = 10 * time.Second
	// maxTallies bounds how many records' repeats are being counted, and talliesSharePercent how many of those may be
	// of one namespace; see fairness.Share. Those of more records are not.
	maxTallies, talliesSharePercent = 1000, 50
	// maxTallyStores bounds how many counts are being stored at once.
	maxTallyStores = 64
)

// newTallies returns tallies of which none is open.
func newTallies(records Records) *tallies {
	t := &tallies{
		records: records, open: map[types.NamespacedName]*tally{},
		room: fairness.NewCounter(fairness.Share{Total: maxTallies, Percent: talliesSharePercent}),
	}
	t.stores.SetLimit(maxTallyStores)
	return t
}

// tallies count repeats, and store the counts after the answers: the first repeat of a record at once, those that follow
// together. It is safe for concurrent use.
type tallies struct {
	records Records
	room    *fairness.Counter

	mu sync.Mutex
	// stores are the counts that are being stored. They are begun under the lock and not after close, which waits for them.
	stores errgroup.Group
	open   map[types.NamespacedName]*tally
	closed bool
}

// tally are the repeats of one record that are not stored yet.
type tally struct {
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

// note counts a repeat of what a record tells of.
func (t *tallies) note(ctx context.Context, record, repeated *postern.WebhookDelivery) {
	key := types.NamespacedName{Namespace: record.Namespace, Name: record.Name}
	t.mu.Lock()
	defer t.mu.Unlock()
	one, open := t.open[key]
	if t.closed {
		return
	}
	if !open {
		leave, err := t.room.Take(fairness.Flow{Namespace: key.Namespace}, 1)
		if err != nil {
			return
		}
		one = &tally{identity: record.Status.Identity, leave: leave}
		t.open[key] = one
	}
	counted := postern.WebhookDeliveryStatus{Repeats: &one.repeats}
	addRepeats(&counted, repeatsOf(repeated))
	one.repeats = *counted.Repeats
	if !open {
		t.storeBeside(context.WithoutCancel(ctx), key, one)
	}
}

// storeBeside stores what was counted, and looks again later whether there is more. The lock is held.
func (t *tallies) storeBeside(ctx context.Context, key types.NamespacedName, one *tally) {
	t.tryStore(ctx, key, one)
	one.timer = time.AfterFunc(tallyInterval, func() { t.again(ctx, key, one) })
}

// tryStore begins to store what was counted, unless too much is being stored. The lock is held.
func (t *tallies) tryStore(ctx context.Context, key types.NamespacedName, one *tally) {
	counted := one.repeats
	if counted.Count == 0 {
		return
	}
	if t.stores.TryGo(func() error { t.store(ctx, key, one, counted); return nil }) {
		one.repeats = postern.Repeats{}
		one.storing++
	}
}

// again stores what was counted meanwhile; without repeats the counting ends.
func (t *tallies) again(ctx context.Context, key types.NamespacedName, one *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
	case one.repeats.Count > 0 || one.storing > 0:
		t.storeBeside(ctx, key, one)
	default:
		delete(t.open, key)
		one.leave()
	}
}

// store adds repeats to a record. One that is pending is left to the one that carries it out, and is told later.
func (t *tallies) store(ctx context.Context, key types.NamespacedName, one *tally, counted postern.Repeats) {
	defer t.stored(one)
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		record, err := t.records.Get(ctx, key.Namespace, key.Name)
		switch {
		case err != nil:
			return err
		case record.Status.Identity != one.identity: // it was deleted, and something else has its name
			return nil
		case record.Status.Phase == postern.DeliveryPending:
			t.putBack(one, counted)
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
		t.putBack(one, counted)
	}
}

func (t *tallies) stored(one *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one.storing--
}

func (t *tallies) putBack(one *tally, counted postern.Repeats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := postern.WebhookDeliveryStatus{Repeats: &counted}
	if one.repeats.Count > 0 {
		addRepeats(&sum, one.repeats)
	}
	one.repeats = *sum.Repeats
}

// close stores what is left, as far as that goes at once, and counts no more.
func (t *tallies) close(ctx context.Context) {
	t.closeAll(ctx)
	_ = t.stores.Wait()
}

func (t *tallies) closeAll(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for key, one := range t.open {
		one.timer.Stop()
		t.tryStore(ctx, key, one)
	}
}
