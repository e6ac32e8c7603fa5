// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"slices"
	"strings"

	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/secretheader"
)

// Reason is the exact reason of a rejection, for the operator's log and metrics. It must not be sent to the sender,
// because it reveals whether a secret is configured.
type Reason string

// The reasons. They include nothing of the request.
const (
	ReasonNoCredential         Reason = "NoCredential"         // no credential was presented
	ReasonNoSecretConfigured   Reason = "NoSecretConfigured"   // there is no secret to compare the credential with
	ReasonSignatureMismatch    Reason = "SignatureMismatch"    // signed with another secret, or another body
	ReasonTokenMismatch        Reason = "TokenMismatch"        // a token in a header or in the query does not match
	ReasonMalformedSignature   Reason = "MalformedSignature"   // not a MAC in the format of its header
	ReasonTimestampOutOfWindow Reason = "TimestampOutOfWindow" // too old or in the future: a replay, or a wrong clock
	ReasonSHA1Signature        Reason = "SHA1Signature"        // the only signature is SHA-1
	ReasonSignatureNotCounted  Reason = "SignatureNotCounted"  // a scheme that this type of sender does not use
	ReasonRepeatedHeader       Reason = "RepeatedHeader"       // a header was given more than once
	ReasonQueryTokenNotAllowed Reason = "QueryTokenNotAllowed" // ?secret= from a sender that supports a better method
)

// Rejection is the error of a delivery whose credential was not accepted.
type Rejection struct {
	Reason Reason

	// suggestIdentity and suggestAuthorization add to the message that a Kubernetes identity suffices, and that the
	// secret is also read from the header Authorization.
	suggestIdentity, suggestAuthorization bool
}

// Error returns the message for the sender. It depends only on the request, not on what is configured or exists, so
// that clients can't probe for targets or missing secrets. It has no angle brackets, which JSON would escape.
func (r *Rejection) Error() string {
	var b strings.Builder
	if r.Reason == ReasonNoCredential {
		b.WriteString("no credential was shown: ")
	} else {
		b.WriteString("the credential shown was not accepted: ")
	}
	b.WriteString("sign the exact body with HMAC-SHA256 in ")
	for _, h := range secretheader.Signatures {
		b.WriteString(h.Name + ": " + h.Prefix + "HEX, ")
	}
	b.WriteString("or with a signing token, within 5 minutes, in " + secretheader.MessageSignature + ": " +
		messageSignaturePrefix + "BASE64, ")
	b.WriteString("or send the secret in " + strings.Join(secretheader.Tokens, ", "))
	if r.suggestAuthorization {
		b.WriteString(", or " + secretheader.Authorization)
	}
	var signing, sha1 []string
	for _, s := range payload.Senders() {
		if len(s.Signatures) > 0 {
			signing = append(signing, s.Name)
		}
		if slices.Contains(s.Signatures, payload.SignatureNexus) {
			sha1 = append(sha1, s.Name)
		}
	}
	b.WriteString(", each given once; signatures count only from senders that sign (" + strings.Join(signing, ", ") +
		"), SHA-1 only from " + strings.Join(sha1, ", ") + ", and ?secret= only from senders that support nothing else")
	if r.suggestIdentity {
		b.WriteString("; or authenticate to the Kubernetes API, for example with a ServiceAccount token")
	}
	return b.String()
}

func rejectionReason(valid validSecrets, presented credentials) Reason {
	hasSignature := len(presented.signatures)+len(presented.sha1) > 0
	hasToken := len(presented.tokens)+len(presented.queryTokens) > 0
	switch {
	case hasSignature && len(valid.hmac) > 0, presented.message != nil && hasSigningToken(valid.hmac):
		return ReasonSignatureMismatch
	case hasToken && len(valid.token) > 0:
		return ReasonTokenMismatch
	case hasSignature || presented.message != nil || hasToken:
		return ReasonNoSecretConfigured
	case presented.unreadableReason != "":
		return presented.unreadableReason
	default:
		return ReasonNoCredential
	}
}
