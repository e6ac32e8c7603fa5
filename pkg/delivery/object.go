// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/secretheader"
	"postern.dev/postern/pkg/text"
)

// ReceiveObject receives a delivery that was created as an object, whose spec holds what other endpoints read from the
// request. It removes payload and credentials from the object, so that neither admission nor storage sees them. The
// framework then calls Mutate and Validate, and the storage calls Execute.
func (d *Deliverer) ReceiveObject(
	ctx context.Context, delivery *postern.WebhookDelivery, sender user.Info, querySecret string, dryRun bool,
) (err error) {
	observed := delivery
	defer func() { d.observeError(ctx, observed, err) }()
	delivery.Status = postern.WebhookDeliveryStatus{} // only the server sets it, for logs and metrics too
	r := &Request{Delivery: delivery, User: sender, QuerySecret: querySecret, DryRun: dryRun}
	if err := r.checkDryRun(); err != nil {
		return err
	}
	if errs := validation.ValidateNew(delivery, payload.Sources(), d.MaxPayloadBytes); len(errs) > 0 {
		observed = redactInvalid(delivery)
		return invalid(delivery, errs)
	}
	fromRef := delivery.Spec.Ref != ""
	if err := r.readObject(); err != nil {
		return apierrors.NewInternalError(err)
	}
	if err := d.receive(ctx, r); err != nil {
		return err
	}
	if fromRef {
		delivery.Status.Payload = nil // there was none
	}
	return nil
}

// ReceiveUpdate checks before admission that a client updates only the metadata of a record. It removes payload and
// credentials, so that neither admission nor storage sees them. A payload that is the record's own is no change:
// kubectl apply of the same file sends it again.
func ReceiveUpdate(updated, old *postern.WebhookDelivery) error {
	if old.Spec.Ref == "" || len(updated.Spec.Headers) > 0 {
		dropLastApplied(updated)
	}
	spec := &updated.Spec
	if spec.RawPayload != nil && isPayloadOf(old, spec.RawPayload) {
		spec.RawPayload = nil
	}
	if spec.Payload != nil && isPayloadOf(old, spec.Payload.Raw) {
		spec.Payload = nil
	}
	if kept := headersToKeep(headerOf(spec)); equality.Semantic.DeepEqual(kept, old.Spec.Headers) {
		spec.Headers = old.Spec.Headers
	}
	if errs := validation.ValidateUnchanged(updated, old); len(errs) > 0 {
		return invalid(old, errs)
	}
	return nil
}

func isPayloadOf(record *postern.WebhookDelivery, body []byte) bool {
	digest := record.Status.Payload
	return digest != nil && *digest == payloadDigest(body)
}

// headerOf returns the headers of an object. Of two names that differ in case, the value of the last one counts.
func headerOf(spec *postern.WebhookDeliverySpec) http.Header {
	header := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(spec.Headers)) {
		header.Set(name, spec.Headers[name])
	}
	return header
}

// dropLastApplied drops the annotation of kubectl apply, which repeats the whole object, including what must not be
// stored.
func dropLastApplied(delivery *postern.WebhookDelivery) {
	delete(delivery.Annotations, corev1.LastAppliedConfigAnnotation)
}

// Mutate runs mutating admission on a received delivery.
func (d *Deliverer) Mutate(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) (err error) {
	delivery := attributes.GetObject().(*postern.WebhookDelivery)
	defer func() { d.observeError(ctx, delivery, err) }()
	return d.mutate(ctx, delivery, attributes, objects)
}

// Validate runs validating admission on a received delivery.
func (d *Deliverer) Validate(
	ctx context.Context, attributes admission.Attributes, objects admission.ObjectInterfaces,
) (err error) {
	defer func() { d.observeError(ctx, attributes.GetObject().(*postern.WebhookDelivery), err) }()
	return d.validate(ctx, attributes, objects)
}

// Execute takes a delivery that was received and admitted to its targets, and returns its record. It records first and
// then writes, because the name, which the client chose, may be taken.
func (d *Deliverer) Execute(
	ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool,
) (record *postern.WebhookDelivery, err error) {
	r := &Request{Delivery: delivery, DryRun: dryRun, recordFirst: true}
	defer func() { d.observe(ctx, r, record, err) }()
	return d.execute(ctx, r)
}

// redactInvalid returns what may be logged of an invalid object. All other fields may be of any length.
func redactInvalid(delivery *postern.WebhookDelivery) *postern.WebhookDelivery {
	redacted := &postern.WebhookDelivery{}
	redacted.Namespace, redacted.Spec.Source = delivery.Namespace, text.Truncate(delivery.Spec.Source, maxQuotedBytes)
	return redacted
}

// maxQuotedBytes bounds the quote of an untrusted text.
const maxQuotedBytes = 64

// readObject moves what a sender would have sent from the object to the request. Only rawPayload has the sender's exact
// bytes, so only with it can a signature be verified: otherwise it drops signatures.
func (r *Request) readObject() (err error) {
	delivery, spec := r.Delivery, &r.Delivery.Spec
	if spec.Ref == "" || len(spec.Headers) > 0 {
		dropLastApplied(delivery)
	}
	r.Header = headerOf(spec)
	if spec.RawPayload == nil {
		secretheader.Strip(r.Header)
	}
	switch {
	case spec.RawPayload != nil:
		r.Body = spec.RawPayload
	case spec.Payload != nil:
		r.Body = spec.Payload.Raw
	default: // A ref is short for a generic payload; the headers would belong to another payload.
		spec.Source, r.Header = postern.SourceGeneric, http.Header{}
		r.Body, err = json.Marshal(map[string]string{"ref": spec.Ref})
	}
	spec.Payload, spec.RawPayload = nil, nil
	return err
}
