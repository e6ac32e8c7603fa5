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
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
	"postern.dev/postern/pkg/payload"
)

// Request is what a sender sent, as it came in.
type Request struct {
	// Header holds the sender's headers under canonical keys.
	Header http.Header
	// Body is the payload, byte for byte.
	Body []byte
	// QuerySecret is the secret in the query of the URL, if there was one.
	QuerySecret string
	// RegistryURL is the registry_url in the query, for senders whose payload does not name their registry.
	RegistryURL string
	// User is who the cluster says the caller is; nil is a stranger.
	User user.Info
	// AuthorizationIsToken says that the header Authorization is the sender's own, and not for the kube-apiserver.
	AuthorizationIsToken bool
	// NoShare says that it takes no part of the share of the namespace that it names, but of one for all such: it names no
	// target to which it may be delivered, as far as that is known.
	NoShare bool
	// Forbidden is the answer to a sender that has proved itself, if the door leads nowhere; else nil. Who has proved
	// nothing is not told.
	Forbidden error
}

// Receive verifies the sender and decodes what it sent. It fills in spec.events and the status of a delivery that
// already says where it goes, and returns the sender's own id of it, which may be empty. Nothing is looked up before the
// sender is verified.
func (d *Deliverer) Receive(ctx context.Context, delivery *postern.WebhookDelivery, in Request) (deliveryID string, err error) {
	if deliveryID, err = d.receive(ctx, delivery, in); err == nil {
		err = in.Forbidden
	}
	if err != nil {
		d.observe(ctx, delivery, err)
		return "", err
	}
	return deliveryID, nil
}

func (d *Deliverer) receive(ctx context.Context, delivery *postern.WebhookDelivery, in Request) (deliveryID string, err error) {
	_, authenticated := credential.Identify(in.User)
	flow := fairness.Flow{Namespace: delivery.Namespace, Anonymous: !authenticated}
	if in.NoShare {
		flow.Namespace = "" // or the senders of a namespace would wait for what may not be delivered to it
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
	// Only the shape of the body told who sent it. A secret of one sender must not speak for another.
	counted, err := d.verify(ctx, delivery, in)
	if err != nil {
		delivery.Status.Sender = nil
		return "", err
	}
	d.setSender(delivery, in.User, counted)
	if counted == credential.MethodHMAC && method != counted {
		return d.decode(ctx, delivery, in, counted) // it proves less of the request than what counted before
	}
	return deliveryID, nil
}

// setReceipt starts the status of a delivery with what came in, and when.
func (d *Deliverer) setReceipt(ctx context.Context, delivery *postern.WebhookDelivery, body []byte) {
	digest := sha256.Sum256(body)
	delivery.Status = postern.WebhookDeliveryStatus{
		Payload:      &postern.PayloadDigest{SHA256: hex.EncodeToString(digest[:]), Bytes: int64(len(body))},
		AuditID:      audit.GetAuditIDTruncated(ctx),
		ReceivedTime: d.receiptTime(),
	}
}

// receiptTime stamps a receipt, by which deliveries are ordered.
func (d *Deliverer) receiptTime() *metav1.MicroTime {
	return &metav1.MicroTime{Time: d.Targets.Stamp()}
}

// setSender tells who delivered, and how that was proved.
func (d *Deliverer) setSender(delivery *postern.WebhookDelivery, sender user.Info, method credential.Method) {
	delivery.Status.Sender = &postern.Sender{Name: senderName(sender), Method: string(method)}
	status, message := metav1.ConditionTrue, "the sender proved itself"
	if method == credential.MethodNone {
		status, message = metav1.ConditionFalse, "no secret is required of this delivery, and the sender showed none that counts"
	}
	setCondition(delivery, postern.ConditionVerified, status, string(method), message, d.Now())
}

func (d *Deliverer) verify(ctx context.Context, delivery *postern.WebhookDelivery, in Request) (credential.Method, error) {
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

// attempt is what came in as credentials know it, without where it goes.
func (in Request) attempt(source string) credential.Attempt {
	return credential.Attempt{
		Source: source, Header: in.Header, Body: in.Body, QuerySecret: in.QuerySecret, User: in.User,
		AuthorizationIsToken: in.AuthorizationIsToken,
	}
}

// decode fills in what a delivery asks for, as far as the method proves that it was the sender who asked.
func (d *Deliverer) decode(ctx context.Context, delivery *postern.WebhookDelivery, in Request, method credential.Method) (deliveryID string, err error) {
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
	delivery.Spec.Events = eventsOf(decoded)
	if len(decoded.Events) == 0 {
		delivery.Status.Reason, delivery.Status.Message = ignoredBecause(decoded.Ignored)
	}
	return decoded.DeliveryID, nil
}

func (d *Deliverer) decodeBody(delivery *postern.WebhookDelivery, in Request, method credential.Method) (payload.Decoded, error) {
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

// unauthorized answers a rejection. The message is the same whatever is configured or exists.
func unauthorized(err error) error {
	var rejection *credential.Rejection
	if !errors.As(err, &rejection) {
		return apierrors.NewInternalError(err)
	}
	return &rejectedError{StatusError: apierrors.NewUnauthorized(rejection.Error()), reason: string(rejection.Reason)}
}

// rejectedError carries, beside the answer, the reason that only the operator may know.
type rejectedError struct {
	*apierrors.StatusError
	reason string
}

// Unwrap lets callers find the answer.
func (e *rejectedError) Unwrap() error { return e.StatusError }

func senderName(u user.Info) string {
	if u == nil {
		return user.Anonymous
	}
	return u.GetName()
}

func eventsOf(decoded payload.Decoded) []postern.DeliveryEvent {
	events := make([]postern.DeliveryEvent, 0, len(decoded.Events))
	for _, e := range decoded.Events {
		event := postern.DeliveryEvent{
			Source:        e.Source,
			Event:         e.Type,
			Ref:           e.Ref,
			RefType:       postern.RefType(e.RefType),
			Repository:    e.Repository,
			Revision:      e.Revision,
			DeliveryID:    e.DeliveryID,
			DefaultBranch: e.DefaultBranch,
		}
		if !e.Time.IsZero() {
			event.Time = &metav1.MicroTime{Time: e.Time.Truncate(time.Microsecond)}
		}
		if e.Image != nil {
			image := postern.ImageReference(*e.Image)
			event.Image = &image
		}
		events = append(events, event)
	}
	return events
}

// ignoredBecause sums up why a payload asks for nothing: the first reason, and every message.
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
