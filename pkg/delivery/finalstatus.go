// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	"k8s.io/utils/lru"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
	"postern.dev/postern/pkg/target"
	"postern.dev/postern/pkg/text"
)

const (
	// statusTimeout bounds storing a final status or the outcome of a retry, and statusTryTimeout each attempt at it.
	statusTimeout    = 15 * time.Second
	statusTryTimeout = statusTimeout / 3
	// maxStatusUpdates bounds how many final statuses are stored concurrently. etcd commits them together.
	maxStatusUpdates = 64
)

// statusBackoff is the backoff between attempts to store a final status, some 13 seconds in total.
var statusBackoff = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 8}

// storeFinalStatusAsync stores the final status after the answer, and then what watch collects. With too many updates
// in flight it blocks, which delays the answer, so that deliveries do not arrive faster than their statuses are stored.
func (d *Deliverer) storeFinalStatusAsync(
	ctx context.Context, delivery *postern.WebhookDelivery, watch *targetWatch,
) {
	ctx, final := context.WithoutCancel(ctx), delivery.DeepCopy()
	key := callKey(final)
	d.inFlight.retain(key)
	store := func() error {
		defer d.inFlight.release(key)
		d.storeFinalStatus(ctx, final)
		watch.start(final)
		return nil
	}
	if !d.statusUpdates.TryGo(store) {
		_ = store()
	}
}

// storeFinalStatus stores the final status. If it fails, the record stays Pending, and the delivery is resumed. This
// process then stores the status that it keeps here. Another one retries the delivery, which does not change a target
// that already holds the ref.
func (d *Deliverer) storeFinalStatus(ctx context.Context, delivery *postern.WebhookDelivery) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var err error
	_ = wait.ExponentialBackoffWithContext(ctx, statusBackoff, func(ctx context.Context) (done bool, _ error) {
		err = d.tryStoreFinalStatus(ctx, delivery)
		return err == nil || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || isTooLarge(err), nil
	})
	if err == nil || apierrors.IsNotFound(err) { // deleted concurrently
		return
	}
	if !apierrors.IsInvalid(err) && !isTooLarge(err) { // these can never be stored: the outcome is decided again
		d.unstored.note(delivery)
	}
	klog.FromContext(ctx).Error(err, "Could not store the final status of a delivery", "delivery", klog.KObj(delivery))
}

// tryStoreFinalStatus stores the final status. It overwrites a concurrent update unless that is final.
func (d *Deliverer) tryStoreFinalStatus(ctx context.Context, delivery *postern.WebhookDelivery) error {
	ctx, cancel := context.WithTimeout(ctx, statusTryTimeout)
	defer cancel()
	_, err := d.storeStatus(ctx, delivery)
	if !apierrors.IsConflict(err) {
		return err
	}
	record, err := d.Records.Get(ctx, delivery.Namespace, delivery.Name)
	if err != nil {
		return err
	}
	if record.UID != delivery.UID || !mayReplaceStatus(record, &delivery.Status) {
		return nil
	}
	replaceStatus(record, &delivery.Status)
	_, err = d.storeStatus(ctx, record)
	return err
}

// Drain waits until all final statuses and counts of repeats are stored or failed. Call it after the last delivery.
func (d *Deliverer) Drain() {
	_ = d.statusUpdates.Wait()
	d.takenBack.close()
	d.repeats.close(context.Background())
}

// checkStorable returns an error for the client if no record of a delivery can be stored. It is called first, since the
// targets may be written before the delivery is recorded. It drops the changed files if there is no room for them.
func checkStorable(d *postern.WebhookDelivery) error {
	if errs := validation.ValidateRecord(d); len(errs) > 0 {
		return invalid(d, errs)
	}
	err := validation.CheckSize(d)
	if isTooLarge(err) && dropChangedFiles(d.Spec.Events) {
		err = validation.CheckSize(d)
	}
	return err
}

// dropChangedFiles reports whether there were any.
func dropChangedFiles(events []postern.DeliveryEvent) (dropped bool) {
	for i := range events {
		if e := &events[i]; len(e.ChangedFiles) > 0 {
			e.ChangedFiles, e.ChangedFilesTruncated, dropped = nil, true, true
		}
	}
	return dropped
}

// storeStatus stores the status of a record, and returns the record as stored.
func (d *Deliverer) storeStatus(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	update := func(fitting *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
		return d.Records.UpdateStatus(ctx, fitting)
	}
	return storeFitting(ctx, fitSize(delivery, validation.MaxFinalBytes), update)
}

// storeFitting stores a record without what does not fit. The outcome must be stored in any case: otherwise a pending
// delivery would be retried until its record expires, and a written one would have no record.
func storeFitting(
	ctx context.Context, delivery *postern.WebhookDelivery,
	store func(*postern.WebhookDelivery) (*postern.WebhookDelivery, error),
) (*postern.WebhookDelivery, error) {
	stored, err := store(delivery)
	// A record may be older than the limits, or etcd's request limit lower than its default.
	for _, cut := range []func(*postern.WebhookDelivery){withoutResults, withoutDetails, withoutAnnotations} {
		if !isTooLarge(err) {
			return stored, err
		}
		delivery = delivery.DeepCopy()
		cut(delivery)
		stored, err = store(delivery)
		if err == nil {
			klog.FromContext(ctx).Info("Stored the record of a delivery in part, since it is too large",
				"delivery", klog.KObj(delivery))
		}
	}
	return stored, err
}

func isTooLarge(err error) bool { return err != nil && apierrors.IsRequestEntityTooLargeError(err) }

// fitSize returns the delivery, or a copy without its last results, so that its JSON has at most maxBytes if possible.
func fitSize(delivery *postern.WebhookDelivery, maxBytes int) *postern.WebhookDelivery {
	results := delivery.Status.Targets
	size, err := validation.EncodedBytes(delivery)
	if err != nil || size <= maxBytes || len(results) == 0 {
		return delivery
	}
	fitting := *delivery
	for len(results) > 0 && size > maxBytes {
		results = results[:len(results)/2]
		fitting.Status.Targets = results
		if size, err = validation.EncodedBytes(&fitting); err != nil {
			return delivery
		}
	}
	return &fitting
}

// withoutResults drops the results. The phase, which summarizes them, stays.
func withoutResults(d *postern.WebhookDelivery) {
	d.Status.Targets = nil
	d.Status.Message = text.Truncate(d.Status.Message, maxTextBytes/4)
}

// withoutDetails keeps only the phase and the reason.
func withoutDetails(d *postern.WebhookDelivery) {
	withoutResults(d)
	d.Status.Message, d.Status.Conditions = "", nil
}

// withoutAnnotations also drops the client's annotations and labels, which Postern does not read, and shortens why the
// delivery is held.
func withoutAnnotations(d *postern.WebhookDelivery) {
	withoutDetails(d)
	why, held := target.HoldOf(d.Annotations)
	d.Annotations, d.Labels = nil, nil
	if held {
		d.Annotations = map[string]string{postern.AnnotationHold: truncateText(why)}
	}
}

const (
	// maxUnstored bounds how many statuses are kept that could not be stored, and maxUnstoredBytes the JSON of each. A
	// larger one is kept without its results.
	maxUnstored, maxUnstoredBytes = 1024, 16 << 10

	// firstUnknown ends the message of a record whose first attempt was interrupted and that is not Applied.
	firstUnknown = "; the outcome of the first attempt is unknown, because it could not be stored"
)

// unstored keeps, by the UID of their records, the answers to deliveries whose final status could not be stored. If
// this process resumes one of them, it stores the status that was answered: a new decision may differ, for example if
// the target was changed or deleted. It is safe for concurrent use.
type unstored struct{ statuses *lru.Cache }

func newUnstored() unstored { return unstored{lru.New(maxUnstored)} }

// note keeps the status of a delivery.
func (u unstored) note(delivery *postern.WebhookDelivery) {
	kept := delivery.DeepCopy()
	if encoded, err := json.Marshal(kept.Status.Targets); err != nil || len(encoded) > maxUnstoredBytes {
		if kept.Status.Phase == postern.DeliveryPending { // it can't be resumed without its results
			return
		}
		withoutResults(kept)
	}
	if kept.UID != "" {
		u.statuses.Add(kept.UID, kept.Status)
	}
}

// of returns the kept status of a delivery, which the caller must not modify, or nil.
func (u unstored) of(delivery *postern.WebhookDelivery) *postern.WebhookDeliveryStatus {
	kept, found := u.statuses.Get(delivery.UID)
	if !found {
		return nil
	}
	status := kept.(postern.WebhookDeliveryStatus)
	return &status
}

// forget drops the status of a delivery once it is stored.
func (u unstored) forget(delivery *postern.WebhookDelivery) { u.statuses.Remove(delivery.UID) }

// mayReplaceStatus reports whether the status that was answered may replace the status of a record: the record is
// pending, and either its first attempt is not over or the answer is final.
func mayReplaceStatus(record *postern.WebhookDelivery, status *postern.WebhookDeliveryStatus) bool {
	return record.Status.Phase == postern.DeliveryPending &&
		(!Attempted(record) || status.Phase != postern.DeliveryPending)
}

// replaceStatus sets the status of a record. It keeps the repeats, which are counted concurrently.
func replaceStatus(record *postern.WebhookDelivery, status *postern.WebhookDeliveryStatus) {
	repeats := record.Status.Repeats
	status.DeepCopyInto(&record.Status)
	record.Status.Repeats = repeats
}

// addFirstUnknown adds to the message of a delivery that is not Applied that its answer may have been different.
func addFirstUnknown(delivery *postern.WebhookDelivery) {
	status := &delivery.Status
	if status.Phase == postern.DeliveryApplied {
		return
	}
	status.Message += firstUnknown
	if applied := meta.FindStatusCondition(status.Conditions, postern.ConditionApplied); applied != nil {
		applied.Message = status.Message
	}
}

// cutFirstUnknown reports whether the outcome of the first attempt at a pending delivery is unknown. It removes the
// text that says so from the message.
func cutFirstUnknown(delivery *postern.WebhookDelivery) (unknown bool) {
	delivery.Status.Message, unknown = strings.CutSuffix(delivery.Status.Message, firstUnknown)
	return unknown || !Attempted(delivery)
}
