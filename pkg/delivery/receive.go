// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
	"postern.dev/postern/pkg/payload"
)

// Request is a webhook as its sender sent it.
type Request struct {
	// Header holds the sender's headers under canonical keys.
	Header http.Header
	// Body is the payload, byte for byte.
	Body []byte
	// QuerySecret is the secret in the query of the URL, if any.
	QuerySecret string
	// RegistryURL is the registry_url in the query, for senders whose payload does not name their registry.
	RegistryURL string
	// User is the caller that the cluster has authenticated; nil is anonymous.
	User user.Info
	// AuthorizationIsToken is true if the Authorization header is for Postern, and not for the kube-apiserver.
	AuthorizationIsToken bool
	// NoShare is true if the request names no target that it may deliver to, as far as that is known. It then counts
	// against one share for all such requests, and not against the share of the namespace that it names.
	NoShare bool
	// Forbidden is the answer if the endpoint leads nowhere; else nil. It is disclosed to verified senders only.
	Forbidden error
}

// Receive verifies the sender and decodes its request. It sets spec.events and the status of a delivery that says where
// it goes, and returns the sender's delivery id, if any. It looks up nothing before the sender is verified.
func (d *Deliverer) Receive(
	ctx context.Context, delivery *postern.WebhookDelivery, in Request,
) (deliveryID string, err error) {
	if deliveryID, err = d.receive(ctx, delivery, in); err == nil {
		err = in.Forbidden
	}
	if err != nil {
		d.observe(ctx, delivery, err)
		return "", err
	}
	return deliveryID, nil
}

func (d *Deliverer) receive(
	ctx context.Context, delivery *postern.WebhookDelivery, in Request,
) (deliveryID string, err error) {
	_, authenticated := credential.Identify(in.User)
	flow := fairness.Flow{Namespace: delivery.Namespace, Anonymous: !authenticated}
	if in.NoShare {
		flow.Namespace = "" // otherwise the namespace's senders wait for a request that must not be delivered to it
	}
	end, err := d.Work.Begin(ctx, flow)
	if err != nil {
		return "", err
	}
	defer end()
	if delivery.Spec.Source == "" {
		delivery.Spec.Source = payload.SourceFromHeader(in.Header)
	}
	sourceKnown := delivery.Spec.Source != ""
	method, err := d.verify(ctx, delivery, in)
	if err != nil {
		return "", err
	}
	if err := checkContext(ctx); err != nil {
		return "", err
	}
	d.setReceipt(ctx, delivery, in.Body)
	d.setSender(delivery, in.User, method)
	if deliveryID, err = d.decode(ctx, delivery, in, method); err != nil {
		return "", err
	}
	if sourceKnown {
		return deliveryID, nil
	}
	// The source was derived from the shape of the body only. A secret of one source must not authenticate another.
	confirmed, err := d.verify(ctx, delivery, in)
	if err != nil {
		delivery.Status.Sender = nil
		return "", err
	}
	d.setSender(delivery, in.User, confirmed)
	if confirmed == credential.MethodHMAC && method != confirmed {
		return d.decode(ctx, delivery, in, confirmed) // an HMAC proves less of the request than the first method
	}
	return deliveryID, nil
}

// setReceipt initializes the status of a delivery with its payload's digest and the time of receipt.
func (d *Deliverer) setReceipt(ctx context.Context, delivery *postern.WebhookDelivery, body []byte) {
	digest := sha256.Sum256(body)
	delivery.Status = postern.WebhookDeliveryStatus{
		Payload:      &postern.PayloadDigest{SHA256: hex.EncodeToString(digest[:]), Bytes: int64(len(body))},
		AuditID:      audit.GetAuditIDTruncated(ctx),
		ReceivedTime: d.receiptTime(),
	}
}

// receiptTime returns a new time of receipt. Deliveries are ordered by it.
func (d *Deliverer) receiptTime() *metav1.MicroTime {
	return &metav1.MicroTime{Time: d.Targets.Stamp()}
}

// setSender records the sender and how it was verified.
func (d *Deliverer) setSender(delivery *postern.WebhookDelivery, sender user.Info, method credential.Method) {
	delivery.Status.Sender = &postern.Sender{Name: senderName(sender), Method: string(method)}
	status, message := metav1.ConditionTrue, "the sender proved itself"
	if method == credential.MethodNone {
		status = metav1.ConditionFalse
		message = "no secret is required for this delivery, and the sender presented no valid one"
	}
	setCondition(delivery, postern.ConditionVerified, status, string(method), message, d.Now())
}

func (d *Deliverer) verify(
	ctx context.Context, delivery *postern.WebhookDelivery, in Request,
) (credential.Method, error) {
	_, done := startStage(ctx, stageVerify)
	defer done()
	var named *credential.Target
	if delivery.Spec.Target != nil {
		named = credentialTarget(targetKey(delivery))
	}
	attempt := in.attempt(delivery.Spec.Source)
	attempt.Namespace, attempt.Target = delivery.Namespace, named
	method, err := d.Verifier.Verify(attempt)
	if err != nil {
		return "", unauthorized(err)
	}
	return method, nil
}

// attempt returns the request as an authentication attempt that names neither namespace nor target.
func (in Request) attempt(source string) credential.Attempt {
	return credential.Attempt{
		Source: source, Header: in.Header, Body: in.Body, QuerySecret: in.QuerySecret, User: in.User,
		AuthorizationIsToken: in.AuthorizationIsToken,
	}
}

// decode sets what a delivery requests, as far as the method proves that the sender requested it.
func (d *Deliverer) decode(
	ctx context.Context, delivery *postern.WebhookDelivery, in Request, method credential.Method,
) (deliveryID string, err error) {
	_, done := startStage(ctx, stageDecode)
	defer done()
	decoded, err := d.decodeBody(delivery, in, method)
	delivery.Spec.Source = decoded.Source
	if err != nil {
		return "", apierrors.NewBadRequest(err.Error())
	}
	if delivery.Name == "" && delivery.GenerateName == "" {
		delivery.GenerateName = decoded.Source + "-"
	}
	delivery.Spec.Headers = headersToKeep(in.Header)
	delivery.Spec.Events = decoded.Events
	if len(decoded.Events) == 0 {
		delivery.Status.Reason, delivery.Status.Message = ignoredBecause(decoded.Ignored)
	}
	return decoded.DeliveryID, nil
}

func (d *Deliverer) decodeBody(
	delivery *postern.WebhookDelivery, in Request, method credential.Method,
) (payload.Decoded, error) {
	if delivery.Spec.Image != "" {
		return payload.RequestImage(delivery.Spec.Image, delivery.Spec.Ref)
	}
	input := payload.Input{
		Source: delivery.Spec.Source, Header: in.Header, Body: in.Body, RegistryURL: in.RegistryURL,
		RegistryURLs: func(source string) string { return d.Secrets.RegistryURLs(delivery.Namespace, source) },
	}
	if method == credential.MethodHMAC {
		return payload.DecodeSigned(input)
	}
	return payload.Decode(input)
}

// unauthorized returns the answer to a rejection. Its message does not depend on what is configured or exists.
func unauthorized(err error) error {
	var rejection *credential.Rejection
	if !errors.As(err, &rejection) {
		return apierrors.NewInternalError(err)
	}
	return &rejectedError{StatusError: apierrors.NewUnauthorized(rejection.Error()), reason: string(rejection.Reason)}
}

// rejectedError adds to an answer the reason, which only the operator may know.
type rejectedError struct {
	*apierrors.StatusError
	reason string
}

// Unwrap returns the answer.
func (e *rejectedError) Unwrap() error { return e.StatusError }

func senderName(u user.Info) string {
	if u == nil {
		return user.Anonymous
	}
	return u.GetName()
}

// ignoredBecause returns the first reason and all messages of a payload that requests nothing.
func ignoredBecause(ignored []payload.Ignored) (reason, message string) {
	if len(ignored) == 0 {
		return ReasonNothingRequested, "the payload asks for nothing"
	}
	messages := make([]string, 0, len(ignored))
	for _, i := range ignored {
		messages = append(messages, i.Message)
	}
	return ignored[0].Reason, truncateText(strings.Join(messages, "; "))
}
