// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/retry"

	"postern.dev/postern/apis/postern"
)

// nameByContent names a delivery after what makes a repeat of it: the sender's delivery id, the body and the target. So
// a repeat finds the name taken, in whichever replica and however many come at once. Without an id there are no repeats,
// and it returns false.
func nameByContent(delivery *postern.WebhookDelivery, deliveryID string) bool {
	if deliveryID == "" || delivery.Status.Payload == nil {
		return false
	}
	to := postern.TargetReference{}
	if delivery.Spec.Target != nil {
		to = *delivery.Spec.Target
	}
	const idBytes = 10 // 80 bits: in a namespace of a million deliveries, two meet by chance once in a trillion
	identity := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", to.Kind, to.Name, deliveryID, delivery.Status.Payload.SHA256))
	delivery.Name, delivery.GenerateName = delivery.Spec.Source+"-"+hex.EncodeToString(identity[:idBytes]), ""
	return true
}

// repeat answers a delivery that came before with its record. The status of the repeat says what came of it, which is
// nothing new unless a target did not hold the ref; then the record tells of that.
func (d *Deliverer) repeat(ctx context.Context, repeated *postern.WebhookDelivery, effects []effect, dryRun bool) (*postern.WebhookDelivery, error) {
	// The write to a target that hangs may have taken all of the time that there was.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	first, err := d.updateFirst(ctx, repeated, dryRun)
	if err != nil { // deleted meanwhile, perhaps: there is no record, and so no promise
		return nil, answerUnavailable("the record of the delivery could not be had just now", err)
	}
	if first.Status.Phase == postern.DeliveryFailed {
		if err := worstOf(effects); err != nil {
			return first, err
		}
	}
	answer := first.DeepCopy()
	answer.Status.Reason = ReasonAlreadyDelivered
	answer.Status.Message = "this is a repeat of a delivery of " + first.CreationTimestamp.UTC().Format("2006-01-02 15:04:05 MST")
	return answer, nil
}

// updateFirst returns the record of the first delivery, which tells of what the repeat changed.
func (d *Deliverer) updateFirst(ctx context.Context, repeated *postern.WebhookDelivery, dryRun bool) (first *postern.WebhookDelivery, err error) {
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if first, err = d.Records.Get(ctx, repeated.Namespace, repeated.Name); err != nil {
			return err
		}
		if !hasNews(first, repeated) {
			return nil
		}
		takeOver(first, repeated)
		if dryRun {
			return nil
		}
		updated, err := d.Records.UpdateStatus(ctx, first)
		if err == nil {
			first = updated
			d.report(first, first.Status.Targets)
		}
		return err
	})
	return first, err
}

// hasNews reports whether something came of a repeat that its record does not say. If that is pending, whoever carries
// out the first delivery tells, unless the repeat has written and left nothing to do: it may have overtaken the first,
// which then finds every target as it should be.
func hasNews(first, repeated *postern.WebhookDelivery) bool {
	switch first.Status.Phase {
	case postern.DeliveryPending:
		return wroteAll(repeated.Status.Targets)
	case postern.DeliveryFailed:
		return true
	}
	return repeated.Status.Phase == postern.DeliveryPending || changesAnything(repeated.Status.Targets)
}

// takeOver makes the record say what came of a repeat. If that is pending, it came in with the repeat: by the time of the
// first it would be outdated, or given up, before it is tried again.
func takeOver(first, repeated *postern.WebhookDelivery) {
	to, from := &first.Status, repeated.Status
	if from.Phase == postern.DeliveryPending {
		to.ReceivedTime = from.ReceivedTime
	}
	to.Phase, to.Reason, to.Message, to.Targets = from.Phase, from.Reason, from.Message, from.Targets
	if applied := meta.FindStatusCondition(from.Conditions, postern.ConditionApplied); applied != nil {
		meta.SetStatusCondition(&to.Conditions, *applied)
	}
}

// changesAnything reports whether a target was written, or is yet to be.
func changesAnything(results []postern.TargetResult) bool {
	for _, r := range results {
		switch r.Result {
		case postern.TargetWritten, postern.TargetPending, postern.TargetFailed:
			return true
		}
	}
	return false
}

// wroteAll reports whether a target was written, and nothing is left to do.
func wroteAll(results []postern.TargetResult) bool {
	written := false
	for _, r := range results {
		switch r.Result {
		case postern.TargetWritten:
			written = true
		case postern.TargetPending, postern.TargetFailed:
			return false
		}
	}
	return written
}
