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
	// fanoutTimeout bounds the carrying to all of them. What is not begun by then is not begun, and told as failed, to be
	// sent again.
	fanoutTimeout = 30 * time.Second
)

// NamespaceResult is what came of a webhook in one namespace.
type NamespaceResult struct {
	Namespace string
	// Delivery is the record, nil if there is none.
	Delivery *postern.WebhookDelivery
	// Err is what went wrong, ready to be answered. With a record nothing is lost.
	Err error
}

// FanoutResult is what came of a webhook that was for several namespaces.
type FanoutResult struct {
	// Results are of the namespaces in which something wants what was pushed, in the order in which they were given.
	Results []NamespaceResult
	// Message says why there are none.
	Message string
}

// DeliverToNamespaces delivers a webhook of a type of sender in each of some namespaces whose secrets accept it, and where
// something wants what was pushed; elsewhere it leaves nothing, so that one push does not make a record in every
// namespace. It is decoded once. What fails in one namespace stops no other. The error, ready to be answered, is of a
// webhook that got nowhere.
//
// Policies see it only where something wants it as it came in.
func (d *Deliverer) DeliverToNamespaces(ctx context.Context, source string, namespaces []string, in Request) (FanoutResult, error) {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	delivery := &postern.WebhookDelivery{Spec: postern.WebhookDeliverySpec{Source: source}}
	read, err := d.receiveForNamespaces(ctx, delivery, namespaces, in)
	if err != nil {
		d.observe(ctx, delivery, err)
		return FanoutResult{}, err
	}
	if len(read) == 0 {
		d.setIgnored(delivery, ReasonNoTarget, noMatchMessage("nothing", delivery.Spec.Events))
		d.observe(ctx, delivery, nil)
		return FanoutResult{Message: delivery.Status.Message}, nil
	}
	// Many senders hang up after a few seconds, and what was begun in one namespace is to come to an end in all.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fanoutTimeout)
	defer cancel()
	arrivals := make([]NamespaceResult, len(read))
	var group errgroup.Group
	group.SetLimit(maxNamespacesAtOnce)
	for i, r := range read {
		group.Go(func() error {
			arrivals[i] = d.deliverToNamespace(ctx, r.delivery.DeepCopy(), r.Acceptance, r.deliveryID, in)
			return nil
		})
	}
	_ = group.Wait() // no namespace stops the others
	return FanoutResult{Results: arrivals}, nil
}

// receiveForNamespaces is receive for a sender whose type is known and a delivery that is for several namespaces. It returns the readings
// of those in which something wants what was pushed.
func (d *Deliverer) receiveForNamespaces(
	ctx context.Context, delivery *postern.WebhookDelivery, namespaces []string, in Request,
) ([]acceptedDelivery, error) {
	_, authenticated := credential.Identify(in.User)
	end, err := d.Work.Begin(ctx, fairness.Flow{Anonymous: !authenticated}) // it is not known yet for which of them it is
	if err != nil {
		return nil, err
	}
	defer end()
	accepted, err := d.verifyForNamespaces(ctx, delivery, namespaces, in)
	if err != nil {
		return nil, err
	}
	d.setReceipt(ctx, delivery, in.Body)
	if len(accepted) > 0 { // for the log; each namespace has its own
		d.setSender(delivery, in.User, accepted[0].Method)
	}
	read, err := d.decodeForNamespaces(ctx, delivery, accepted, in)
	if err != nil {
		return nil, err
	}
	return d.filterWanted(ctx, read)
}

func (d *Deliverer) verifyForNamespaces(ctx context.Context, delivery *postern.WebhookDelivery, namespaces []string, in Request) ([]credential.Acceptance, error) {
	_, done := startStage(ctx, stageVerify)
	defer done()
	accepted, err := d.Verifier.VerifyInNamespaces(ctx, namespaces, in.attempt(delivery.Spec.Source))
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

// filterWanted returns those of the readings that something in their namespace wants.
func (d *Deliverer) filterWanted(ctx context.Context, read []acceptedDelivery) ([]acceptedDelivery, error) {
	_, done := startStage(ctx, stageResolve)
	defer done()
	var wanting []acceptedDelivery
	for _, r := range read {
		if err := checkContext(ctx); err != nil {
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

// deliverToNamespace takes a delivery that was received to a namespace that accepted it.
func (d *Deliverer) deliverToNamespace(ctx context.Context, delivery *postern.WebhookDelivery, at credential.Acceptance, deliveryID string, in Request) NamespaceResult {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	delivery.Namespace = at.Namespace
	d.setSender(delivery, in.User, at.Method)
	if err := ctx.Err(); err != nil { // or it would have a time of its own, as every delivery, and so would all after it
		err = answerUnavailable("other namespaces took too long", err)
		d.observe(ctx, delivery, err)
		return NamespaceResult{Namespace: at.Namespace, Err: err}
	}
	if setIdentity(delivery, deliveryID) {
		recorded, err := d.deliverOnce(ctx, delivery, in.User, false)
		return NamespaceResult{at.Namespace, recorded, err}
	}
	if err := d.admit(ctx, delivery, in.User, false); err != nil {
		return NamespaceResult{Namespace: at.Namespace, Err: err}
	}
	recorded, err := d.execute(ctx, delivery, executeOptions{record: d.recordWhileWriting})
	return NamespaceResult{at.Namespace, recorded, err}
}

// decodedDelivery is what a webhook asks for, as far as its sender has proved it.
type decodedDelivery struct {
	delivery   *postern.WebhookDelivery
	deliveryID string
	err        error // why it can't be read so
}

// acceptedDelivery is a webhook as one of the namespaces reads it that accepted it.
type acceptedDelivery struct {
	*decodedDelivery
	credential.Acceptance
}

// decodeKey is all that namespaces can differ in when they read a webhook. Most do not.
type decodeKey struct {
	signed       bool
	registryURLs string
}

// decodeForNamespaces decodes a webhook once for all namespaces that read it alike. The error is that of a webhook that no namespace
// can read. Without any namespace it is decoded too, so that a sender learns of its mistakes.
func (d *Deliverer) decodeForNamespaces(ctx context.Context, delivery *postern.WebhookDelivery, accepted []credential.Acceptance, in Request) ([]acceptedDelivery, error) {
	if len(accepted) == 0 {
		return nil, d.decodeFor(ctx, delivery, credential.Acceptance{}, in).err
	}
	readings := map[decodeKey]*decodedDelivery{}
	var read []acceptedDelivery
	var first *decodedDelivery
	for _, a := range accepted {
		key := decodeKey{a.Method == credential.MethodHMAC, d.Secrets.RegistryURLs(a.Namespace, delivery.Spec.Source)}
		r := readings[key]
		if r == nil {
			r = d.decodeFor(ctx, delivery.DeepCopy(), a, in)
			readings[key] = r
		}
		if first == nil || first.err != nil {
			first = r
		}
		if r.err == nil {
			read = append(read, acceptedDelivery{r, a})
		}
	}
	*delivery = *first.delivery.DeepCopy() // for the log and the answer, if it goes nowhere
	return read, first.err
}

func (d *Deliverer) decodeFor(ctx context.Context, delivery *postern.WebhookDelivery, by credential.Acceptance, in Request) *decodedDelivery {
	delivery.Namespace = by.Namespace
	deliveryID, err := d.decode(ctx, delivery, in, by.Method)
	delivery.Namespace = ""
	return &decodedDelivery{delivery, deliveryID, err}
}
