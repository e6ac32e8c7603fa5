// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// A delivery that a target wants while the target, or the delivery, is held is recorded as Held. It is tried again when
// one of the two is released, as if it had been pending until then. Meanwhile, what another held delivery replaces is
// Superseded at once, so that a target has few of them however many arrive.

// ReasonReleased means that the hold of a delivery was released.
const ReasonReleased = "Released"

// holdOf returns why a delivery itself is held; empty if it is not.
func holdOf(delivery *postern.WebhookDelivery) string {
	why, held := target.HoldOf(delivery.Annotations)
	if held && (why == "" || why == "true") {
		return "by its annotation " + postern.AnnotationHold
	}
	if !held {
		return ""
	}
	return why
}

func isOnHold(r postern.TargetResult) bool { return r.Result == postern.TargetHeld }

// wasHeld reports whether a pending result was held before; see tryHeld.
func wasHeld(r postern.TargetResult) bool {
	return wasHeldByTarget(r) || isPending(r) && r.Reason == target.ReasonDeliveryHeld
}

// wasHeldByTarget is wasHeld for a result that the target held.
func wasHeldByTarget(r postern.TargetResult) bool {
	return isPending(r) && (r.Reason == target.ReasonHeld || r.Reason == target.ReasonRolledBack)
}

// HeldTargets returns the targets at which a delivery is held. all is false if the record does not list all of them.
func HeldTargets(delivery *postern.WebhookDelivery) (keys []postern.TargetKey, all bool) {
	if delivery.Status.Phase != postern.DeliveryHeld {
		return nil, true
	}
	for _, r := range delivery.Status.Targets {
		key := postern.TargetKey{Kind: r.Kind, Namespace: delivery.Namespace, Name: r.Name}
		if isOnHold(r) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys, delivery.Status.Progress == nil && len(keys) > 0
}

// HeldSince returns when a delivery was last held or, once it is not held any more, released; zero if it never was.
func HeldSince(delivery *postern.WebhookDelivery) time.Time {
	held := meta.FindStatusCondition(delivery.Status.Conditions, postern.ConditionHeld)
	if held == nil || held.Status == metav1.ConditionFalse && held.Reason == ReasonTakenBack { // see ConditionKept
		return time.Time{}
	}
	return held.LastTransitionTime.Time
}

// setHeldCondition sets the condition Held of a delivery that is, or was, held.
func setHeldCondition(d *postern.WebhookDelivery, held bool, now time.Time) {
	status := &d.Status
	switch {
	case held:
		i := slices.IndexFunc(status.Targets, isOnHold)
		if i < 0 {
			return
		}
		r := status.Targets[i]
		setCondition(d, postern.ConditionHeld, metav1.ConditionTrue, r.Reason, r.Message, now)
	case meta.IsStatusConditionTrue(status.Conditions, postern.ConditionHeld):
		reason, message := ReasonReleased, "the hold was released"
		if status.Phase == postern.DeliverySuperseded {
			reason, message = target.ReasonSuperseded, status.Message
		}
		setCondition(d, postern.ConditionHeld, metav1.ConditionFalse, reason, message, now)
	}
}

// Settle is called for the deliveries that are held at a target when one of them, or the target, has changed. It
// supersedes those that others replace, and writes the rest if they are released. heldAt returns a new slice of the
// deliveries that are held at a target, each time with the same objects, which Settle changes. If their records do not
// list all targets, the name in key is empty. The error is from the storage, or of the target.
func (d *Deliverer) Settle(
	ctx context.Context, key postern.TargetKey, heldAt func(postern.TargetKey) []*postern.WebhookDelivery,
) error {
	s := settlement{
		Deliverer: d, heldAt: heldAt, stored: map[*postern.WebhookDelivery]*postern.WebhookDelivery{},
		released: sets.New[postern.TargetKey](),
	}
	deliveries := s.at(ctx, key)
	err := s.contest(ctx, key, deliveries)
	switch {
	case target.IsTransient(err): // whether the target is still held is unknown
		return err
	case apierrors.IsNotFound(err):
		err = nil // the retry finds out
	}
	s.contestElsewhere(ctx, key, deliveries)
	slices.SortStableFunc(s.seen, compareReceipts) // those that others replace are superseded by now
	for _, delivery := range s.seen {
		var watch *targetWatch
		if delivery.Status.Phase == postern.DeliveryHeld && slices.Contains(deliveries, delivery) {
			var tryErr error
			watch, tryErr = s.release(ctx, key, delivery)
			err = errors.Join(err, tryErr)
		}
		if storeErr := d.storeSettled(ctx, s.stored[delivery], delivery, watch); !apierrors.IsNotFound(storeErr) {
			err = errors.Join(err, storeErr)
		}
	}
	return err
}

// settlement is one call of Settle.
type settlement struct {
	*Deliverer
	heldAt func(postern.TargetKey) []*postern.WebhookDelivery
	// seen are the deliveries that may have been changed. stored are they as they are stored, nil if not held there.
	seen   []*postern.WebhookDelivery
	stored map[*postern.WebhookDelivery]*postern.WebhookDelivery
	// released are further targets that are released, and whose deliveries are contested.
	released sets.Set[postern.TargetKey]
}

// at returns the deliveries that are held at a target, in order of receipt.
func (s *settlement) at(ctx context.Context, key postern.TargetKey) []*postern.WebhookDelivery {
	deliveries := slices.DeleteFunc(s.heldAt(key), func(delivery *postern.WebhookDelivery) bool {
		return !s.refresh(ctx, delivery)
	})
	slices.SortStableFunc(deliveries, compareReceipts)
	return deliveries
}

// refresh makes a delivery what the storage has, once, since the cache may be behind the last settlement. It reports
// whether it exists and is held.
func (s *settlement) refresh(ctx context.Context, delivery *postern.WebhookDelivery) bool {
	if stored, seen := s.stored[delivery]; seen {
		return stored != nil
	}
	switch fresh, err := s.Records.Get(ctx, delivery.Namespace, delivery.Name); {
	case apierrors.IsNotFound(err), err == nil && fresh.UID != delivery.UID,
		err == nil && fresh.Status.Phase != postern.DeliveryHeld:
		s.stored[delivery] = nil
		return false
	case err == nil:
		fresh.DeepCopyInto(delivery)
	}
	s.seen, s.stored[delivery] = append(s.seen, delivery), delivery.DeepCopy()
	return true
}

// contestElsewhere contests deliveries at their other targets: those that have been superseded at the given one, since
// what replaces a delivery at one target usually does so at all, and the rest where they are released, too. Then one
// update of a record suffices for many targets.
func (s *settlement) contestElsewhere(
	ctx context.Context, here postern.TargetKey, deliveries []*postern.WebhookDelivery,
) {
	done := sets.New(here)
	for _, delivery := range deliveries {
		isSuperseded := !equality.Semantic.DeepEqual(s.stored[delivery].Status, delivery.Status)
		keys, _ := HeldTargets(delivery)
		for _, key := range keys {
			isReleased := holdOf(delivery) == "" && !s.Targets.IsHeld(key)
			if done.Has(key) || ctx.Err() != nil || !isSuperseded && !isReleased {
				continue
			}
			done.Insert(key)
			// What fails here is tried again in the turn of that target.
			if err := s.contest(ctx, key, s.at(ctx, key)); err == nil && isReleased {
				s.released.Insert(key)
			}
		}
	}
}

func compareReceipts(a, b *postern.WebhookDelivery) int {
	if a.Status.ReceivedTime == nil || b.Status.ReceivedTime == nil {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	}
	return a.Status.ReceivedTime.Compare(b.Status.ReceivedTime.Time)
}

// contest supersedes what other held deliveries replace at a target.
func (s *settlement) contest(
	ctx context.Context, key postern.TargetKey, deliveries []*postern.WebhookDelivery,
) error {
	var requests []target.Request
	var results []*postern.TargetResult
	var owners []*postern.WebhookDelivery
	for _, delivery := range deliveries {
		tasks, places := heldTasksAt(key, delivery)
		for i, t := range tasks {
			t.retry = true
			requests = append(requests, t.request(s.Now()))
			results, owners = append(results, places[i]), append(owners, delivery)
		}
	}
	if len(requests) == 0 || key.Name == "" {
		return nil
	}
	lost, err := s.Targets.Contest(ctx, key, requests)
	if err != nil {
		return err
	}
	losers := sets.New[*postern.WebhookDelivery]()
	for i, outcome := range lost {
		if outcome.Reason == target.ReasonSuperseded {
			r := results[i]
			losers.Insert(owners[i])
			r.Result, r.Reason, r.Message = postern.TargetSuperseded, outcome.Reason, truncateText(outcome.Message)
			r.Time = metav1.NewTime(s.Now())
		}
	}
	for delivery := range losers {
		setOutcome(delivery, delivery.Status.Targets, s.Now())
	}
	return nil
}

// heldTasksAt returns the tasks of a delivery that are held at a target, and their results in the record.
func heldTasksAt(key postern.TargetKey, delivery *postern.WebhookDelivery) (
	held []task, places []*postern.TargetResult,
) {
	tasks, results := tasksWithResults(delivery)
	used := map[int]bool{}
	for i, t := range tasks {
		if t.key != key || !isOnHold(results[i]) {
			continue
		}
		at := slices.IndexFunc(delivery.Status.Targets, func(r postern.TargetResult) bool {
			return identityOf(r) == identityOf(results[i])
		})
		for at >= 0 && used[at] { // results of several images with one tag may be alike
			at++
			if at == len(delivery.Status.Targets) || identityOf(delivery.Status.Targets[at]) != identityOf(results[i]) {
				at = -1
			}
		}
		if at >= 0 {
			used[at] = true
			held, places = append(held, t), append(places, &delivery.Status.Targets[at])
		}
	}
	return held, places
}

// release tries a held delivery again at a target and at those that are released, too, or at all if the key has no
// name. It returns the watch of what it has written; nil if it has written nothing.
func (s *settlement) release(
	ctx context.Context, key postern.TargetKey, delivery *postern.WebhookDelivery,
) (watch *targetWatch, err error) {
	if delivery.DeletionTimestamp != nil { // as if a finalizer did not keep it
		s.tryHeld(delivery, func(postern.TargetResult) bool { return true })
		s.setFailed(delivery, &refusal{ReasonDeleted, "the delivery was deleted while it was held"})
		return nil, nil
	}
	watch, _ = s.retryWithHeld(ctx, delivery, func(r postern.TargetResult) bool {
		at := postern.TargetKey{Kind: r.Kind, Namespace: delivery.Namespace, Name: r.Name}
		return key.Name == "" || at == key || s.released.Has(at)
	})
	if watch == nil && delivery.Status.Phase == postern.DeliveryHeld {
		return nil, errNotTried
	}
	return watch, nil
}

// errNotTried means that the targets of a held delivery can't be found for now.
var errNotTried = errors.New("the targets of a held delivery can't be found for now")

// retryWithHeld is retry for a delivery that may be held at some targets. It also tries the wanted ones of those.
func (d *Deliverer) retryWithHeld(
	ctx context.Context, delivery *postern.WebhookDelivery, wanted func(postern.TargetResult) bool,
) (watch *targetWatch, tried bool) {
	before := delivery.Status.DeepCopy()
	d.tryHeld(delivery, wanted)
	watch, tried = d.retry(ctx, delivery)
	if watch == nil && delivery.Status.Phase == postern.DeliveryPending && len(before.Targets) > 0 {
		delivery.Status = *before // its targets can't be found for now
	}
	keepHeld(delivery, before.Targets)
	return watch, tried
}

// tryHeld makes held results pending, so that a retry tries them.
func (d *Deliverer) tryHeld(delivery *postern.WebhookDelivery, wanted func(postern.TargetResult) bool) {
	delivery.Status.Targets = slices.Clone(delivery.Status.Targets)
	for i := range delivery.Status.Targets {
		if r := &delivery.Status.Targets[i]; isOnHold(*r) && wanted(*r) {
			r.Result = postern.TargetPending
		}
	}
	delivery.Status.Phase = postern.DeliveryPending
}

// keepHeld keeps the time of results that are held as before, so that the record is not updated.
func keepHeld(delivery *postern.WebhookDelivery, before []postern.TargetResult) {
	for i := range delivery.Status.Targets {
		r := &delivery.Status.Targets[i]
		same := func(old postern.TargetResult) bool {
			return isOnHold(old) && isOnHold(*r) && old.Kind == r.Kind && old.Name == r.Name && old.Ref == r.Ref &&
				old.Repository == r.Repository && old.Reason == r.Reason && old.Message == r.Message
		}
		if at := slices.IndexFunc(before, same); at >= 0 {
			*r = before[at]
		}
	}
}

// storeSettled stores the status of a delivery that was held, if it has changed, and reports what was released.
func (d *Deliverer) storeSettled(
	ctx context.Context, before, delivery *postern.WebhookDelivery, watch *targetWatch,
) error {
	if delivery.Status.Phase != postern.DeliveryHeld && !slices.ContainsFunc(delivery.Status.Targets, isOnHold) {
		setHeldCondition(delivery, false, d.Now())
	}
	if equality.Semantic.DeepEqual(before.Status, delivery.Status) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if _, err := d.storeStatus(ctx, delivery); err != nil {
		return err
	}
	watch.start(delivery)
	d.recordReleases(delivery, before.Status.Targets)
	d.recordEvents(delivery, newResults(before.Status.Targets, delivery.Status.Targets))
	if delivery.Status.Phase != postern.DeliveryHeld {
		countReleased(delivery.Status.Phase)
		klog.FromContext(ctx).Info("A delivery is not held any more", "delivery", klog.KObj(delivery),
			"outcome", delivery.Status.Phase, "reason", delivery.Status.Reason, "refs", refsOf(delivery))
	}
	return nil
}

// recordReleases sends an Event about each target at which a delivery was held, and went on.
func (d *Deliverer) recordReleases(delivery *postern.WebhookDelivery, before []postern.TargetResult) {
	for _, result := range delivery.Status.Targets {
		heldBefore := slices.ContainsFunc(before, func(old postern.TargetResult) bool {
			return isOnHold(old) && old.Kind == result.Kind && old.Name == result.Name && old.Ref == result.Ref
		})
		if heldBefore && isHeld(result) && d.normalEvents.allows(delivery.Namespace, d.Now()) {
			d.recordEvent(delivery, result, corev1.EventTypeNormal, ReasonReleased,
				fmt.Sprintf("%q was held, and is delivered", result.Ref))
		}
	}
}
