// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

// verify verifies the sender, and sets it and the receipt in the status.
func (d *Deliverer) verify(ctx context.Context, r *Request) (credential.Method, error) {
	_, done := startStage(ctx, stageVerify)
	defer done()
	proof, err := d.Verifier.Verify(ctx, r.attempt())
	if err != nil {
		return "", unauthorized(err)
	}
	if err := checkContext(ctx); err != nil {
		return "", err
	}
	if r.Delivery.Status.ReceivedTime == nil {
		d.setReceipt(ctx, r.Delivery, new(payloadDigest(r.Body)))
	}
	d.setSender(r.Delivery, r.User, proof)
	return proof.Method, nil
}

// verifySource is verify for the claimed source, or the one that the event headers name; known is false if there is
// neither. Webhooks of GitHub and Gitea send the events of packages together with those of the repository. With the
// secret of the repository they are a webhook of the git host, which requests no image.
func (d *Deliverer) verifySource(ctx context.Context, r *Request) (method credential.Method, known bool, err error) {
	spec := &r.Delivery.Spec
	claimed := spec.Source
	if claimed == "" {
		spec.Source = payload.SourceFromHeader(r.Header)
	}
	method, err = d.verify(ctx, r)
	git, hasGit := payload.GitSource(spec.Source)
	if claimed != "" || !hasGit || !apierrors.IsUnauthorized(err) {
		return method, spec.Source != "", err
	}
	named := spec.Source
	spec.Source = git
	method, gitErr := d.verify(ctx, r)
	if gitErr != nil {
		spec.Source = named
		return "", true, err
	}
	return method, true, nil
}

// setReceipt initializes the status of a delivery with the digest of its payload, if it has one, and the time of
// receipt.
func (d *Deliverer) setReceipt(
	ctx context.Context, delivery *postern.WebhookDelivery, digest *postern.PayloadDigest,
) {
	delivery.Status = postern.WebhookDeliveryStatus{
		Payload:      digest,
		AuditID:      audit.GetAuditIDTruncated(ctx),
		ReceivedTime: d.receiptTime(),
	}
}

func payloadDigest(body []byte) postern.PayloadDigest {
	digest := sha256.Sum256(body)
	return postern.PayloadDigest{SHA256: hex.EncodeToString(digest[:]), Bytes: int64(len(body))}
}

// receiptTime returns a new time of receipt. Deliveries are ordered by it.
func (d *Deliverer) receiptTime() *metav1.MicroTime {
	return &metav1.MicroTime{Time: d.Targets.Stamp()}
}

// setSender records the sender and how it was verified.
func (d *Deliverer) setSender(delivery *postern.WebhookDelivery, sender user.Info, proof credential.Proof) {
	method := proof.Method
	delivery.Status.Sender = &postern.Sender{Name: senderName(sender), Method: string(method)}
	if method == credential.MethodOIDC {
		delivery.Status.Sender.Name = OIDCNamePrefix + proof.Name
	}
	status, message := metav1.ConditionTrue, "the sender proved itself"
	if method == credential.MethodNone {
		status = metav1.ConditionFalse
		message = "no secret is required for this delivery, and the sender presented no valid one"
	}
	setCondition(delivery, postern.ConditionVerified, status, string(method), message, d.Now())
}

// OIDCNamePrefix begins the names of senders that proved themselves with an OIDC token. The namespace chooses the rest,
// so the prefix must be none that clusters give to their own users, such as oidc:.
const OIDCNamePrefix = "postern:oidc:"

func senderName(u user.Info) string {
	if u == nil {
		return user.Anonymous
	}
	return u.GetName()
}

// reasonNoIdentity is why an anonymous caller is rejected where a webhook secret does not suffice.
const reasonNoIdentity = "NoIdentity"

// RequireIdentity returns an error for a caller that the cluster has not authenticated, else nil. The message begins
// with what, the operation.
func RequireIdentity(caller user.Info, what string) error {
	if _, known := credential.Identify(caller); known {
		return nil
	}
	return &rejectedError{reason: reasonNoIdentity, StatusError: apierrors.NewUnauthorized(
		what + " only for callers that the cluster has authenticated: " +
			"send a ServiceAccount token or another cluster credential",
	)}
}

// isIdentity reports whether the cluster has authenticated a sender.
func isIdentity(sender *postern.Sender) bool {
	if sender == nil {
		return false
	}
	method := credential.Method(sender.Method)
	return method == credential.MethodServiceAccount || method == credential.MethodUser
}
