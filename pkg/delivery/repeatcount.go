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
	// repeatCountInterval is the minimum interval between updates of a record's repeats. It exceeds the shortest lease
	// of etcd; otherwise updates could keep a record beyond its time to live.
	repeatCountInterval = 10 * time.Second
	// maxRepeatCounts bounds how many records have their repeats counted, and repeatCountSharePercent how many of them
	// may be of one namespace; see fairness.Share. Repeats of other records are not counted.
	maxRepeatCounts, repeatCountSharePercent = 1000, 50
	// maxRepeatUpdates bounds how many counts are stored concurrently.
	maxRepeatUpdates = 64
)

func newRepeatCounter(records Records) *repeatCounter {
	c := &repeatCounter{
		records: records, open: map[types.NamespacedName]*repeatCount{},
		capacity: fairness.NewCounter(fairness.Share{Total: maxRepeatCounts, Percent: repeatCountSharePercent}),
	}
	c.updates.SetLimit(maxRepeatUpdates)
	return c
}

// repeatCounter counts repeats, and stores the counts after the answers: the first repeat of a record at once, later
// ones in batches. It is safe for concurrent use.
type repeatCounter struct {
	records  Records
	capacity *fairness.Counter

	mu sync.Mutex
	// updates stores counts. It is started under the lock and not after close, which waits for it.
	updates errgroup.Group
	open    map[types.NamespacedName]*repeatCount
	closed  bool
}

// repeatCount counts the repeats of one record that are not stored yet.
type repeatCount struct {
	identity string
	repeats  postern.Repeats
	storing  int // updates in progress, which may restore their repeats on failure
	timer    *time.Timer
	// release returns the capacity.
	release func()
}

// repeatsOf returns one repeat as a record counts it.
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

// addRepeats adds repeats to a status.
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

// add counts a repeat of the delivery of a record.
func (c *repeatCounter) add(ctx context.Context, record, repeated *postern.WebhookDelivery) {
	key := types.NamespacedName{Namespace: record.Namespace, Name: record.Name}
	c.mu.Lock()
	defer c.mu.Unlock()
	one, open := c.open[key]
	if c.closed {
		return
	}
	if !open {
		release, err := c.capacity.TryAcquire(fairness.Flow{Namespace: key.Namespace}, 1)
		if err != nil {
			return
		}
		one = &repeatCount{identity: record.Status.Identity, release: release}
		c.open[key] = one
	}
	counted := postern.WebhookDeliveryStatus{Repeats: &one.repeats}
	addRepeats(&counted, repeatsOf(repeated))
	one.repeats = *counted.Repeats
	if !open {
		c.storeAsync(context.WithoutCancel(ctx), key, one)
	}
}

// storeAsync stores the count, and schedules the next flush. The caller holds the lock.
func (c *repeatCounter) storeAsync(ctx context.Context, key types.NamespacedName, one *repeatCount) {
	c.tryStore(ctx, key, one)
	one.timer = time.AfterFunc(repeatCountInterval, func() { c.flush(ctx, key, one) })
}

// tryStore starts storing the count, unless too many updates are in progress. The caller holds the lock.
func (c *repeatCounter) tryStore(ctx context.Context, key types.NamespacedName, one *repeatCount) {
	counted := one.repeats
	if counted.Count == 0 {
		return
	}
	if c.updates.TryGo(func() error { c.store(ctx, key, one, counted); return nil }) {
		one.repeats = postern.Repeats{}
		one.storing++
	}
}

// flush stores the repeats of the last interval. If there were none, it stops counting.
func (c *repeatCounter) flush(ctx context.Context, key types.NamespacedName, one *repeatCount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
	case one.repeats.Count > 0 || one.storing > 0:
		c.storeAsync(ctx, key, one)
	default:
		delete(c.open, key)
		one.release()
	}
}

// store adds repeats to a record. It restores those of a pending record, which the delivery's own update must not
// conflict with, to store them later.
func (c *repeatCounter) store(
	ctx context.Context, key types.NamespacedName, one *repeatCount, counted postern.Repeats,
) {
	defer c.stored(one)
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		record, err := c.records.Get(ctx, key.Namespace, key.Name)
		switch {
		case err != nil:
			return err
		case record.Status.Identity != one.identity: // deleted, and another object has its name
			return nil
		case record.Status.Phase == postern.DeliveryPending:
			c.restore(one, counted)
			return nil
		}
		addRepeats(&record.Status, counted)
		_, err = c.records.UpdateStatus(ctx, record)
		return err
	})
	switch {
	case err == nil || apierrors.IsNotFound(err):
	case isTooLarge(err): // it never fits, and the rest of the record is more important
	default:
		klog.FromContext(ctx).V(2).Info("Could not store the repeats of a delivery",
			"delivery", klog.KRef(key.Namespace, key.Name), "err", err)
		c.restore(one, counted)
	}
}

func (c *repeatCounter) stored(one *repeatCount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one.storing--
}

func (c *repeatCounter) restore(one *repeatCount, counted postern.Repeats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := postern.WebhookDeliveryStatus{Repeats: &counted}
	if one.repeats.Count > 0 {
		addRepeats(&sum, one.repeats)
	}
	one.repeats = *sum.Repeats
}

// close stops counting, and stores what it can store at once.
func (c *repeatCounter) close(ctx context.Context) {
	c.closeAll(ctx)
	_ = c.updates.Wait()
}

func (c *repeatCounter) closeAll(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for key, one := range c.open {
		one.timer.Stop()
		c.tryStore(ctx, key, one)
	}
}
