// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/fields"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/naming"
)

// maxSuccessors bounds the targets of a delivery for which later deliveries are looked for.
const maxSuccessors = 8

// findSuccessors sets SupersededBy of the targets that have something else than the delivery wants. It reads the
// records only if there are such targets, once for all of them, and leaves it empty if they can't be read.
func findSuccessors(ctx context.Context, cluster *cli.Cluster, s *Story) {
	var replaced []*TargetStory
	for i := range s.Targets {
		if t := &s.Targets[i]; t.isReplaced() && len(replaced) < maxSuccessors {
			replaced = append(replaced, t)
		}
	}
	latest := make([]time.Time, len(replaced))
	find := func(d *v1alpha1.WebhookDelivery) {
		for i, t := range replaced {
			if at := cli.ReceivedAt(d); at.After(latest[i]) && succeeds(d, s.Delivery, t) {
				latest[i], t.SupersededBy = at, d.Name
			}
		}
	}
	// A record that was found counts, even if not all could be read.
	switch namespace := s.Delivery.Namespace; len(replaced) {
	case 0:
	case 1:
		only := v1alpha1.TargetReference{Kind: replaced[0].Kind, Name: replaced[0].Name}
		_ = eachOfTarget(ctx, cluster, namespace, only, find)
	default:
		_ = Each(ctx, cluster, namespace, fields.Set{}, find)
	}
}

// succeeds reports whether a delivery reached the target later than the one that the story is about, in the same slot:
// with a git ref of the same repository, or with the same image.
func succeeds(d, told *v1alpha1.WebhookDelivery, t *TargetStory) bool {
	if d.UID == told.UID {
		return false
	}
	for i := range d.Status.Targets {
		r := &d.Status.Targets[i]
		if r.Kind != t.Kind || r.Name != t.Name || !isHeld(*r) {
			continue
		}
		old, later := eventOf(told, &t.TargetResult), eventOf(d, r)
		if old != nil && later != nil && sameSlot(t.Kind, old, later) && isLater(d, later, told, old) {
			return true
		}
	}
	return false
}

// eventOf returns the event that a result is about; nil if it is unknown.
func eventOf(d *v1alpha1.WebhookDelivery, r *v1alpha1.TargetResult) *v1alpha1.DeliveryEvent {
	for i := range d.Spec.Events {
		e := &d.Spec.Events[i]
		if e.Ref == r.Ref && (r.Repository == "" || r.Repository == e.Repository) {
			return e
		}
	}
	return nil
}

// sameSlot reports whether two events replace each other on a target. A GatewaySync has one ref. An Application has one
// of each repository; an event may not name its own.
func sameSlot(kind v1alpha1.TargetKind, a, b *v1alpha1.DeliveryEvent) bool {
	switch {
	case (a.Image == nil) != (b.Image == nil):
		return false
	case kind == v1alpha1.TargetApplicationSet: // no request replaces another
		return false
	case a.Image != nil:
		return a.Image.Host == b.Image.Host && a.Image.Repository == b.Image.Repository
	}
	return kind == v1alpha1.TargetGatewaySync || a.Repository == "" || b.Repository == "" ||
		naming.SameRepository(a.Repository, b.Repository)
}

// isLater reports whether an event wins over another one, by the order of the server: by the times of one type of
// sender if both are known, otherwise by receipt. What was delivered again on purpose is as new as its receipt.
func isLater(d *v1alpha1.WebhookDelivery, e *v1alpha1.DeliveryEvent, than *v1alpha1.WebhookDelivery,
	old *v1alpha1.DeliveryEvent,
) bool {
	redelivered := d.Spec.RedeliveryOf != "" || than.Spec.RedeliveryOf != ""
	if !redelivered && e.Source == old.Source && e.Time != nil && old.Time != nil && !e.Time.Equal(old.Time) {
		return e.Time.After(old.Time.Time)
	}
	return cli.ReceivedAt(d).After(cli.ReceivedAt(than))
}
