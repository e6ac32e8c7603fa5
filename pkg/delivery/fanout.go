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
// pushed. r.Delivery has the source and no namespace. It leaves nothing elsewhere, so that a push does not make a
// record in every namespace, and no policy there sees it. It decodes the webhook once. A failure in one namespace does
// not affect the others. The error, for the client, is set if the webhook reaches no namespace.
func (d *Deliverer) DeliverToNamespaces(ctx context.Context, r *Request, namespaces []string) (FanoutResult, error) {
	ctx, span := d.tracer.Start(ctx, spanDeliver)
	defer span.End()
	accepted, err := d.receiveForNamespaces(ctx, r, namespaces)
	if err != nil {
		d.observe(ctx, r, nil, err)
		return FanoutResult{}, err
	}
	if len(accepted) == 0 {
		d.setIgnored(r.Delivery, ReasonNoTarget, noMatchMessage("nothing", r.Delivery.Spec.Events))
		d.observe(ctx, r, r.Delivery, nil)
		return FanoutResult{Message: r.Delivery.Status.Message}, nil
	}
	// Many senders hang up after a few seconds, but the delivery must be completed in all namespaces.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fanoutTimeout)
	defer cancel()
	results := make([]NamespaceResult, len(accepted))
	var group errgroup.Group
	group.SetLimit(maxNamespacesAtOnce)
	for i, a := range accepted {
		group.Go(func() error {
			record, err := d.Deliver(ctx, d.requestFor(a))
			results[i] = NamespaceResult{a.Namespace, record, err}
			return nil
		})
	}
	_ = group.Wait() // the functions return no error
	return FanoutResult{Results: results}, nil
}

// acceptedRequest is a decoded webhook in a namespace that accepted it.
type acceptedRequest struct {
	*Request
	credential.Acceptance
}

// receiveForNamespaces is receive for a known source and several namespaces. It returns the requests in the namespaces
// in which something wants what was pushed. They share the decoded delivery.
func (d *Deliverer) receiveForNamespaces(
	ctx context.Context, r *Request, namespaces []string,
) ([]acceptedRequest, error) {
	end, err := d.Work.Begin(ctx, r.flow()) // of no namespace: they are not known yet
	if err != nil {
		return nil, err
	}
	defer end()
	accepted, err := d.verifyForNamespaces(ctx, r, namespaces)
	if err != nil {
		return nil, err
	}
	d.setReceipt(ctx, r.Delivery, new(payloadDigest(r.Body)))
	if len(accepted) > 0 { // for the log; each namespace has its own sender
		d.setSender(r.Delivery, r.User, accepted[0].Proof)
	}
	decoded, err := d.decodeForNamespaces(ctx, r, accepted)
	if err != nil {
		return nil, err
	}
	return d.filterWanted(ctx, decoded)
}

func (d *Deliverer) verifyForNamespaces(
	ctx context.Context, r *Request, namespaces []string,
) ([]credential.Acceptance, error) {
	_, done := startStage(ctx, stageVerify)
	defer done()
	accepted, err := d.Verifier.VerifyInNamespaces(ctx, namespaces, r.attempt())
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

// decodeKey is everything that may differ between namespaces when they decode a webhook.
type decodeKey struct {
	signed       bool
	registryURLs string
}

// decodeForNamespaces decodes a webhook once for all namespaces with the same decodeKey. It returns an error if no
// namespace can decode it. Without namespaces it decodes too, so that a sender learns of its mistakes.
func (d *Deliverer) decodeForNamespaces(
	ctx context.Context, r *Request, accepted []credential.Acceptance,
) ([]acceptedRequest, error) {
	if len(accepted) == 0 {
		return nil, d.decode(ctx, r, "")
	}
	type decodedRequest struct {
		*Request
		err error
	}
	decoded := map[decodeKey]decodedRequest{}
	var requests []acceptedRequest
	var first *decodedRequest
	for _, a := range accepted {
		key := decodeKey{a.Method == credential.MethodHMAC, d.Secrets.RegistryURLs(a.Namespace, r.Delivery.Spec.Source)}
		one, found := decoded[key]
		if !found {
			request := *r
			request.Delivery = r.Delivery.DeepCopy()
			request.Delivery.Namespace = a.Namespace
			one = decodedRequest{&request, d.decode(ctx, &request, a.Method)}
			request.Delivery.Namespace = ""
			decoded[key] = one
		}
		if first == nil || first.err != nil {
			first = &one
		}
		if one.err == nil {
			requests = append(requests, acceptedRequest{one.Request, a})
		}
	}
	*r.Delivery = *first.Delivery.DeepCopy() // for the log and the answer, if no namespace wants it
	return requests, first.err
}

// filterWanted returns the requests that something in their namespace wants.
func (d *Deliverer) filterWanted(ctx context.Context, requests []acceptedRequest) ([]acceptedRequest, error) {
	_, done := startStage(ctx, stageResolve)
	defer done()
	var wanted []acceptedRequest
	for _, a := range requests {
		if err := checkContext(ctx); err != nil {
			return nil, err
		}
		ok, err := d.isWanted(a.Namespace, a.Delivery.Spec.Events)
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

// requestFor returns the request of a received webhook in a namespace that accepted it.
func (d *Deliverer) requestFor(a acceptedRequest) *Request {
	r := *a.Request
	r.Delivery, r.received = a.Delivery.DeepCopy(), true
	r.Delivery.Namespace = a.Namespace
	d.setSender(r.Delivery, r.User, a.Proof)
	return &r
}
