// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "strings"

// Reason says precisely why a delivery was rejected, for the operator's log and metrics. It is not for the sender: it
// tells whether a secret is configured.
type Reason string

// The reasons. None of them carries anything that the sender sent.
const (
	ReasonNoCredential         Reason = "NoCredential"         // nothing was shown
	ReasonNoSecretConfigured   Reason = "NoSecretConfigured"   // there is no secret to compare what was shown with
	ReasonSignatureMismatch    Reason = "SignatureMismatch"    // another secret, or another body
	ReasonTokenMismatch        Reason = "TokenMismatch"        // a token, in a header or in the query, that is no secret
	ReasonMalformedSignature   Reason = "MalformedSignature"   // not a SHA-256 MAC in the form that its header has
	ReasonTimestampOutOfWindow Reason = "TimestampOutOfWindow" // signed too long ago or in the future: a replay, or a wrong clock
	ReasonSHA1Signature        Reason = "SHA1Signature"        // the only signature was a SHA-1 one
	ReasonSignatureNotCounted  Reason = "SignatureNotCounted"  // a signature in a form in which this type of sender makes none
	ReasonRepeatedHeader       Reason = "RepeatedHeader"       // a header was given more than once, and not read
	ReasonQueryTokenNotAllowed Reason = "QueryTokenNotAllowed" // ?secret= for a sender that can do better
)

// Rejection is the error of a delivery whose credential was not accepted.
type Rejection struct {
	Reason Reason

	// suggestIdentity says that a Kubernetes identity would have been enough, and suggestAuthorization that the secret would
	// have been read from the header Authorization.
	suggestIdentity, suggestAuthorization bool
}

// Error is the message for the sender. It depends only on what the sender showed, never on what is configured or exists,
// so that nobody can probe for targets or for missing secrets. It has no angle brackets, which JSON answers escape.
func (r *Rejection) Error() string {
	var b strings.Builder
	if r.Reason == ReasonNoCredential {
		b.WriteString("no credential was shown: ")
	} else {
		b.WriteString("the credential shown was not accepted: ")
	}
	b.WriteString("sign the exact body with HMAC-SHA256 in ")
	for _, h := range signatureHeaders {
		b.WriteString(h.name + ": " + h.prefix + "HEX, ")
	}
	b.WriteString("or by a signing token within 5 minutes in " + messageSignatureHeader + ": " + messageSignaturePrefix + "BASE64, ")
	b.WriteString("or show the secret in " + strings.Join(tokenHeaders, ", "))
	if r.suggestAuthorization {
		b.WriteString(", or " + authorizationHeader)
	}
	b.WriteString(", each given once; signatures count only from senders that sign (" + strings.Join(signingSources(), ", ") +
		"), SHA-1 from nexus alone, and ?secret= only from senders that can do nothing else")
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
