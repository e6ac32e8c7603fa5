// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/secretheader"
	"postern.dev/postern/pkg/text"
)

// ReceiveObject receives a delivery that was created as an object, whose spec holds what other endpoints read from the
// request. It removes payload and credentials from the object, so that neither admission nor storage sees them.
func (d *Deliverer) ReceiveObject(
	ctx context.Context, delivery *postern.WebhookDelivery, sender user.Info, querySecret string,
) error {
	delivery.Status = postern.WebhookDeliveryStatus{} // only the server sets it, for logs and metrics too
	if errs := validation.ValidateNew(delivery, payload.Sources(), d.MaxPayloadBytes); len(errs) > 0 {
		err := invalid(delivery, errs)
		d.observe(ctx, redactInvalid(delivery), err)
		return err
	}
	in, err := requestFromObject(delivery)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	in.User, in.QuerySecret = sender, querySecret
	fromRef := delivery.Spec.Ref != ""
	if !fromRef || len(delivery.Spec.Headers) > 0 {
		// The annotation of kubectl apply repeats the whole object, including what must not be stored.
		delete(delivery.Annotations, corev1.LastAppliedConfigAnnotation)
	}
	delivery.Spec.Payload, delivery.Spec.RawPayload = nil, nil
	if _, err := d.Receive(ctx, delivery, in); err != nil {
		return err
	}
	if fromRef {
		delivery.Status.Payload = nil // there was none
	}
	return nil
}

// redactInvalid returns what may be logged of an invalid object. All other fields may be of any length.
func redactInvalid(delivery *postern.WebhookDelivery) *postern.WebhookDelivery {
	redacted := &postern.WebhookDelivery{}
	redacted.Namespace, redacted.Spec.Source = delivery.Namespace, text.Truncate(delivery.Spec.Source, maxQuotedBytes)
	return redacted
}

// maxQuotedBytes bounds the quote of an untrusted text.
const maxQuotedBytes = 64

// requestFromObject returns the request that a sender would have sent. Only rawPayload has the sender's exact bytes, so
// only with it can a signature be verified: otherwise it drops signatures.
func requestFromObject(delivery *postern.WebhookDelivery) (Request, error) {
	spec := &delivery.Spec
	header := http.Header{}
	for name, value := range spec.Headers {
		header.Set(name, value)
	}
	if spec.RawPayload != nil {
		return Request{Header: header, Body: spec.RawPayload}, nil
	}
	secretheader.Strip(header)
	if spec.Payload != nil {
		return Request{Header: header, Body: spec.Payload.Raw}, nil
	}
	// A ref is short for a generic payload; the headers would belong to another payload.
	spec.Source = postern.SourceGeneric
	body, err := json.Marshal(map[string]string{"ref": spec.Ref})
	return Request{Header: http.Header{}, Body: body}, err
}
