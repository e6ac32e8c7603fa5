// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
)

// reasonSenderLeft is why a sender is rejected that did not wait for its credential to be verified.
const reasonSenderLeft = "SenderLeft"

const (
	// maxNamespacesAtOnce bounds in how many namespaces one webhook is carried at the same time.
	maxNamespacesAtOnce = 8
	// amongTimeout bounds the carrying to all of them. What is not begun by then is not begun, and told as failed, to be
	// sent again.
	amongTimeout = 30 * time.Second
)

// Arrival is what came of a webhook in one namespace.
type Arrival struct {
	Namespace string
	// Delivery is the record, nil if there is none.
	Delivery *postern.WebhookDelivery
	// Err is what went wrong, ready to be answered. With a record nothing is lost.
	Err error
}

// Spread is what came of a webhook that was for several namespaces.
type Spread struct {
	// Arrivals are of the namespaces in which something wants what was pushed, in the order in which they were given.
	Arrivals []Arrival
	// Message says why there are none.
	Message string
}

// DeliverAmong delivers a webhook of a type of sender in each of some namespaces whose secrets accept it, and where
// something wants what was pushed; elsewhere it leaves nothing, so that one push does not make a record in every
// namespace. It is decoded once. What fails in one namespace stops no other. The error, ready to be answered, is of a
// webhook that got nowhere.
//
// Policies see it only where something wants it as it came in.
func (d *Deliverer) DeliverAmong(ctx context.Context, source string, namespaces []string, in Incoming) (Spread, error) {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	delivery := &postern.WebhookDelivery{Spec: postern.WebhookDeliverySpec{Source: source}}
	read, err := d.receiveAmong(ctx, delivery, namespaces, in)
	if err != nil {
		d.finished(ctx, delivery, err)
		return Spread{}, err
	}
	if len(read) == 0 {
		d.ignore(delivery, ReasonNoTarget, unwanted("nothing", delivery.Spec.Events))
		d.finished(ctx, delivery, nil)
		return Spread{Message: delivery.Status.Message}, nil
	}
	// Many senders hang up after a few seconds, and what was begun in one namespace is to come to an end in all.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), amongTimeout)
	defer cancel()
	arrivals := make([]Arrival, len(read))
	var group errgroup.Group
	group.SetLimit(maxNamespacesAtOnce)
	for i, r := range read {
		group.Go(func() error {
			arrivals[i] = d.arrive(ctx, r.delivery.DeepCopy(), r.Acceptance, r.deliveryID, in)
			return nil
		})
	}
	_ = group.Wait() // no namespace stops the others
	return Spread{Arrivals: arrivals}, nil
}

// receiveAmong is receive for a sender whose type is known and a delivery that is for several namespaces. It returns the readings
// of those in which something wants what was pushed.
func (d *Deliverer) receiveAmong(
	ctx context.Context, delivery *postern.WebhookDelivery, namespaces []string, in Incoming,
) ([]acceptedReading, error) {
	_, authenticated := credential.Identify(in.User)
	end, err := d.Work.Begin(ctx, fairness.Flow{Anonymous: !authenticated}) // it is not known yet for which of them it is
	if err != nil {
		return nil, err
	}
	defer end()
	accepted, err := d.verifyAmong(ctx, delivery, namespaces, in)
	if err != nil {
		return nil, err
	}
	d.noteReceipt(ctx, delivery, in.Body)
	if len(accepted) > 0 { // for the log; each namespace has its own
		d.setSender(delivery, in.User, accepted[0].Method)
	}
	read, err := d.readAmong(ctx, delivery, accepted, in)
	if err != nil {
		return nil, err
	}
	return d.wanting(ctx, read)
}

func (d *Deliverer) verifyAmong(ctx context.Context, delivery *postern.WebhookDelivery, namespaces []string, in Incoming) ([]credential.Acceptance, error) {
	_, done := startStage(ctx, stageVerify)
	defer done()
	accepted, err := d.Verifier.VerifyAmong(ctx, namespaces, in.attempt(delivery.Spec.Source))
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		// Nobody reads this answer. Whoever leaves before anything is proved must not look like a storage that is away.
		return nil, &rejectedError{StatusError: apierrors.NewUnauthorized("the sender left"), reason: reasonSenderLeft}
	case err != nil && ctx.Err() != nil:
		return nil, answerUnavailable("the sender could not be verified in time", err)
	case err != nil:
		return nil, unauthorized(err)
	}
	return accepted, nil
}

// wanting returns those of the readings that something in their namespace wants.
func (d *Deliverer) wanting(ctx context.Context, read []acceptedReading) ([]acceptedReading, error) {
	_, done := startStage(ctx, stageResolve)
	defer done()
	var wanting []acceptedReading
	for _, r := range read {
		if err := ended(ctx); err != nil {
			return nil, err
		}
		wanted, err := d.isWanted(r.Namespace, r.delivery.Spec.Events)
		if err != nil {
			return nil, answerFor(err)
		}
		if wanted {
			wanting = append(wanting, r)
		}
	}
	return wanting, nil
}

func (d *Deliverer) isWanted(namespace string, events []postern.DeliveryEvent) (bool, error) {
	for i := range events {
		matches, err := d.Targets.Matches(namespace, task{event: &events[i], matched: true}.request(d.Now()))
		if err != nil || len(matches) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// arrive takes a delivery that was received to a namespace that accepted it.
func (d *Deliverer) arrive(ctx context.Context, delivery *postern.WebhookDelivery, at credential.Acceptance, deliveryID string, in Incoming) Arrival {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	delivery.Namespace = at.Namespace
	d.setSender(delivery, in.User, at.Method)
	if err := ctx.Err(); err != nil { // or it would have a time of its own, as every delivery, and so would all after it
		err = answerUnavailable("other namespaces took too long", err)
		d.finished(ctx, delivery, err)
		return Arrival{Namespace: at.Namespace, Err: err}
	}
	if identify(delivery, deliveryID) {
		recorded, err := d.deliverOnce(ctx, delivery, in.User, false)
		return Arrival{at.Namespace, recorded, err}
	}
	if err := d.admit(ctx, delivery, in.User, false); err != nil {
		return Arrival{Namespace: at.Namespace, Err: err}
	}
	recorded, err := d.carryAnd(ctx, delivery, manner{how: d.recordWhileWriting})
	return Arrival{at.Namespace, recorded, err}
}
