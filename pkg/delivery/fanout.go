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

// reasonSenderLeft is why a sender is rejected that hung up before it was verified.
const reasonSenderLeft = "SenderLeft"

const (
	// maxNamespacesAtOnce bounds how many namespaces one webhook is delivered to concurrently.
	maxNamespacesAtOnce = 8
	// fanoutTimeout bounds the delivery to all namespaces. Deliveries that have not started by then fail, and the
	// sender has to send them again.
	fanoutTimeout = 30 * time.Second
)

// NamespaceResult is the outcome of a webhook in one namespace.
type NamespaceResult struct {
	Namespace string
	// Delivery is the record, nil if there is none.
	Delivery *postern.WebhookDelivery
	// Err is the failure, as an error for the client. If there is a record, the delivery is not lost.
	Err error
}

// FanoutResult is the outcome of a webhook for several namespaces.
type FanoutResult struct {
	// Results are in the order of the given namespaces, without those in which nothing wants what was pushed.
	Results []NamespaceResult
	// Message says why there are no results.
	Message string
}

// DeliverToNamespaces delivers a webhook in each namespace whose secrets accept it and where something wants what was
// pushed. It leaves nothing elsewhere, so that a push does not make a record in every namespace, and no policy there
// sees it. It decodes the webhook once. A failure in one namespace does not affect the others. The error, for the
// client, is set if the webhook reaches no namespace.
func (d *Deliverer) DeliverToNamespaces(
	ctx context.Context, source string, namespaces []string, in Request,
) (FanoutResult, error) {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	delivery := &postern.WebhookDelivery{Spec: postern.WebhookDeliverySpec{Source: source}}
	accepted, err := d.receiveForNamespaces(ctx, delivery, namespaces, in)
	if err != nil {
		d.observe(ctx, delivery, err)
		return FanoutResult{}, err
	}
	if len(accepted) == 0 {
		d.setIgnored(delivery, ReasonNoTarget, noMatchMessage("nothing", delivery.Spec.Events))
		d.observe(ctx, delivery, nil)
		return FanoutResult{Message: delivery.Status.Message}, nil
	}
	// Many senders hang up after a few seconds, but the delivery must be completed in all namespaces.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fanoutTimeout)
	defer cancel()
	results := make([]NamespaceResult, len(accepted))
	var group errgroup.Group
	group.SetLimit(maxNamespacesAtOnce)
	for i, a := range accepted {
		group.Go(func() error {
			results[i] = d.deliverToNamespace(ctx, a.delivery.DeepCopy(), a.Acceptance, a.deliveryID, in)
			return nil
		})
	}
	_ = group.Wait() // the functions return no error
	return FanoutResult{Results: results}, nil
}

// receiveForNamespaces is receive for a known source and several namespaces. It returns the deliveries to the
// namespaces in which something wants what was pushed.
func (d *Deliverer) receiveForNamespaces(
	ctx context.Context, delivery *postern.WebhookDelivery, namespaces []string, in Request,
) ([]acceptedDelivery, error) {
	_, authenticated := credential.Identify(in.User)
	end, err := d.Work.Begin(ctx, fairness.Flow{Anonymous: !authenticated}) // the namespaces are not known yet
	if err != nil {
		return nil, err
	}
	defer end()
	accepted, err := d.verifyForNamespaces(ctx, delivery, namespaces, in)
	if err != nil {
		return nil, err
	}
	d.setReceipt(ctx, delivery, in.Body)
	if len(accepted) > 0 { // for the log; each namespace has its own sender
		d.setSender(delivery, in.User, accepted[0].Method)
	}
	decoded, err := d.decodeForNamespaces(ctx, delivery, accepted, in)
	if err != nil {
		return nil, err
	}
	return d.filterWanted(ctx, decoded)
}

func (d *Deliverer) verifyForNamespaces(
	ctx context.Context, delivery *postern.WebhookDelivery, namespaces []string, in Request,
) ([]credential.Acceptance, error) {
	_, done := startStage(ctx, stageVerify)
	defer done()
	accepted, err := d.Verifier.VerifyInNamespaces(ctx, namespaces, in.attempt(delivery.Spec.Source))
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		// No client reads this answer. It must not count as a storage failure.
		return nil, &rejectedError{StatusError: apierrors.NewUnauthorized("the sender left"), reason: reasonSenderLeft}
	case err != nil && ctx.Err() != nil:
		return nil, answerUnavailable("the sender could not be verified in time", err)
	case err != nil:
		return nil, unauthorized(err)
	}
	return accepted, nil
}

// filterWanted returns the deliveries that something in their namespace wants.
func (d *Deliverer) filterWanted(ctx context.Context, deliveries []acceptedDelivery) ([]acceptedDelivery, error) {
	_, done := startStage(ctx, stageResolve)
	defer done()
	var wanted []acceptedDelivery
	for _, a := range deliveries {
		if err := checkContext(ctx); err != nil {
			return nil, err
		}
		ok, err := d.isWanted(a.Namespace, a.delivery.Spec.Events)
		if err != nil {
			return nil, answerFor(err)
		}
		if ok {
			wanted = append(wanted, a)
		}
	}
	return wanted, nil
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

// deliverToNamespace takes a received delivery to a namespace that accepted it.
func (d *Deliverer) deliverToNamespace(
	ctx context.Context, delivery *postern.WebhookDelivery, acceptance credential.Acceptance, deliveryID string,
	in Request,
) NamespaceResult {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	delivery.Namespace = acceptance.Namespace
	d.setSender(delivery, in.User, acceptance.Method)
	if err := ctx.Err(); err != nil { // a new delivery would have a timeout of its own
		err = answerUnavailable("other namespaces took too long", err)
		d.observe(ctx, delivery, err)
		return NamespaceResult{Namespace: acceptance.Namespace, Err: err}
	}
	if setIdentity(delivery, deliveryID) {
		recorded, err := d.deliverOnce(ctx, delivery, in.User, false)
		return NamespaceResult{acceptance.Namespace, recorded, err}
	}
	if err := d.admit(ctx, delivery, in.User, false); err != nil {
		return NamespaceResult{Namespace: acceptance.Namespace, Err: err}
	}
	recorded, err := d.execute(ctx, delivery, executeOptions{record: d.recordWhileWriting})
	return NamespaceResult{acceptance.Namespace, recorded, err}
}

// decodedDelivery is what a webhook requests, as far as its sender has proved it.
type decodedDelivery struct {
	delivery   *postern.WebhookDelivery
	deliveryID string
	err        error // of decoding
}

// acceptedDelivery is a decoded webhook in a namespace that accepted it.
type acceptedDelivery struct {
	*decodedDelivery
	credential.Acceptance
}

// decodeKey is everything that may differ between namespaces when they decode a webhook.
type decodeKey struct {
	signed       bool
	registryURLs string
}

// decodeForNamespaces decodes a webhook once for all namespaces with the same decodeKey. It returns an error if no
// namespace can decode it. Without namespaces it decodes too, so that a sender learns of its mistakes.
func (d *Deliverer) decodeForNamespaces(
	ctx context.Context, delivery *postern.WebhookDelivery, accepted []credential.Acceptance, in Request,
) ([]acceptedDelivery, error) {
	if len(accepted) == 0 {
		return nil, d.decodeFor(ctx, delivery, credential.Acceptance{}, in).err
	}
	decoded := map[decodeKey]*decodedDelivery{}
	var deliveries []acceptedDelivery
	var first *decodedDelivery
	for _, a := range accepted {
		key := decodeKey{a.Method == credential.MethodHMAC, d.Secrets.RegistryURLs(a.Namespace, delivery.Spec.Source)}
		r := decoded[key]
		if r == nil {
			r = d.decodeFor(ctx, delivery.DeepCopy(), a, in)
			decoded[key] = r
		}
		if first == nil || first.err != nil {
			first = r
		}
		if r.err == nil {
			deliveries = append(deliveries, acceptedDelivery{r, a})
		}
	}
	*delivery = *first.delivery.DeepCopy() // for the log and the answer, if no namespace wants it
	return deliveries, first.err
}

func (d *Deliverer) decodeFor(
	ctx context.Context, delivery *postern.WebhookDelivery, acceptance credential.Acceptance, in Request,
) *decodedDelivery {
	delivery.Namespace = acceptance.Namespace
	deliveryID, err := d.decode(ctx, delivery, in, acceptance.Method)
	delivery.Namespace = ""
	return &decodedDelivery{delivery, deliveryID, err}
}
