// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// Targets are watched for a while after they were written, by the process that wrote them. If another client takes the
// ref back, the record and an Event say so. Nothing is written again: two controllers that each insist on a value would
// never end.

const (
	// takenBackDelay collects what is taken back of several targets of a delivery, for one update of the record.
	takenBackDelay = time.Second
	// maxTakenBackUpdates bounds how many records are updated concurrently.
	maxTakenBackUpdates = 16
)

// takenBackUpdates updates records with what was taken back. It is safe for concurrent use.
type takenBackUpdates struct {
	mu      sync.Mutex
	updates errgroup.Group
	closed  bool
}

// tryGo runs an update in the background, unless too many are in progress. After close it does nothing.
func (u *takenBackUpdates) tryGo(update func()) (started bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed || u.updates.TryGo(func() error { update(); return nil })
}

// close waits for the updates in progress.
func (u *takenBackUpdates) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	_ = u.updates.Wait()
}

// targetWatch collects what other clients take back of the targets of one delivery, and records it. It is safe for
// concurrent use.
type targetWatch struct {
	deliverer *Deliverer

	mu sync.Mutex
	// record is the record of the delivery; nil until it is stored.
	record *metav1.ObjectMeta
	taken  []takenBack
	// scheduled is set while an update of the record is due or in progress.
	scheduled bool
}

// takenBack is a ref that was taken back from a target.
type takenBack struct {
	target.TakenBack
	ref string
}

func (d *Deliverer) newTargetWatch() *targetWatch { return &targetWatch{deliverer: d} }

// note notes that a ref was taken back.
func (w *targetWatch) note(ref string, taken target.TakenBack) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = append(w.taken, takenBack{taken, ref})
	w.schedule(takenBackDelay)
}

// start sets the record of the delivery, which is stored by now. A nil watch does nothing.
func (w *targetWatch) start(record *postern.WebhookDelivery) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = &metav1.ObjectMeta{Namespace: record.Namespace, Name: record.Name, UID: record.UID}
	w.schedule(takenBackDelay)
}

// schedule schedules an update of the record if there is something to record. The caller holds the lock.
func (w *targetWatch) schedule(delay time.Duration) {
	if w.record == nil || w.scheduled || len(w.taken) == 0 {
		return
	}
	w.scheduled = true
	time.AfterFunc(delay, w.tryStore)
}

func (w *targetWatch) tryStore() {
	if !w.deliverer.takenBack.tryGo(w.store) {
		time.AfterFunc(takenBackDelay, w.tryStore)
	}
}

func (w *targetWatch) store() {
	w.mu.Lock()
	taken := w.taken
	w.taken = nil
	w.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	w.deliverer.recordTakenBack(ctx, w.record, taken)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.scheduled = false
	w.schedule(takenBackDelay)
}

// recordTakenBack sends the Events, and updates the record.
func (d *Deliverer) recordTakenBack(ctx context.Context, key *metav1.ObjectMeta, taken []takenBack) {
	for _, t := range taken {
		klog.FromContext(ctx).Info("A target no longer holds what was written", "delivery", klog.KObj(key),
			"kind", t.Key.Kind, "target", klog.KRef(t.Key.Namespace, t.Key.Name), "ref", t.ref,
			"fields", t.Fields, "manager", t.Manager)
		d.recordTakenBackEvent(key, t)
	}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		record, err := d.Records.Get(ctx, key.Namespace, key.Name)
		if err != nil || record.UID != key.UID {
			return err
		}
		setTakenBack(record, taken, d.Now())
		_, err = d.storeStatus(ctx, record)
		return err
	})
	if err != nil && !apierrors.IsNotFound(err) {
		klog.FromContext(ctx).Error(err, "Could not record that a target no longer holds what was written",
			"delivery", klog.KObj(key))
	}
}

func (d *Deliverer) recordTakenBackEvent(key *metav1.ObjectMeta, t takenBack) {
	if !d.warningEvents.allows(key.Namespace, d.Now()) {
		return
	}
	result := postern.TargetResult{Kind: t.Key.Kind, Name: t.Key.Name, UID: t.UID}
	d.recordEvent(&postern.WebhookDelivery{ObjectMeta: *key}, result, corev1.EventTypeWarning, "RefTakenBack",
		fmt.Sprintf("no longer holds %q: %s", t.ref, t.describe()))
}

// describe says who took back what, and how to keep it.
func (t takenBack) describe() string {
	message := fmt.Sprintf("%s changed %s at %s", cmp.Or(t.Manager, "another client"), strings.Join(t.Fields, ", "),
		t.At.UTC().Format(time.RFC3339))
	if t.Note != "" {
		message += ": " + t.Note
	}
	return message
}

// setTakenBack sets, in a record, what was taken back of its targets.
func setTakenBack(record *postern.WebhookDelivery, taken []takenBack, now time.Time) {
	status, count := &record.Status, 0
	for i := range status.Targets {
		r := &status.Targets[i]
		of := func(t takenBack) bool { return r.Kind == t.Key.Kind && r.Name == t.Key.Name && r.Ref == t.ref }
		if at := slices.IndexFunc(taken, of); at >= 0 && isHeld(*r) {
			r.Reason, r.Message = ReasonTakenBack, truncateText(taken[at].describe())
		}
		if r.Reason == ReasonTakenBack {
			count++
		}
	}
	message := fmt.Sprintf("%s %s: %s", taken[0].Key.Kind, taken[0].Key.Name, taken[0].describe())
	if count > 1 {
		message = fmt.Sprintf("%d targets no longer hold the ref, see status.targets; %s", count, message)
	}
	message = truncateText(message)
	setCondition(record, postern.ConditionKept, metav1.ConditionFalse, ReasonTakenBack, message, now)
	if status.Phase == postern.DeliveryApplied {
		status.Reason, status.Message = ReasonTakenBack, message
	}
}
