// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"slices"
	"strings"
	"time"

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

// The reasons for an OIDC token that can be seen in the token alone.
const (
	ReasonMalformedToken   Reason = "MalformedToken"   // not a JWT with the claims iss and exp
	ReasonTokenTooLong     Reason = "TokenTooLong"     // longer than any issuer makes them
	ReasonTokenEncrypted   Reason = "TokenEncrypted"   // a JWE: only its audience could read it
	ReasonTokenAlgorithm   Reason = "TokenAlgorithm"   // not signed, or with a shared secret
	ReasonTokenExpired     Reason = "TokenExpired"     // exp has passed
	ReasonTokenNotYetValid Reason = "TokenNotYetValid" // nbf is in the future: a wrong clock
)

// The reasons for an OIDC token that depend on what the namespace trusts.
const (
	ReasonInvalidConfiguration   Reason = "InvalidConfiguration"   // the key can't be used, see the log
	ReasonIssuerNotTrusted       Reason = "IssuerNotTrusted"       // iss is not the URL of an issuer
	ReasonKeysUnknown            Reason = "KeysUnknown"            // the issuer's keys could not be fetched yet
	ReasonKeyNotFound            Reason = "KeyNotFound"            // kid is not a key of the issuer
	ReasonTokenSignatureMismatch Reason = "TokenSignatureMismatch" // not signed with the key that it names
	ReasonAudienceNotAccepted    Reason = "AudienceNotAccepted"    // aud has none of the audiences
	ReasonClaimsNotAccepted      Reason = "ClaimsNotAccepted"      // a rule or a mapping
)

// Rejection is the error of a delivery whose credential was not accepted.
type Rejection struct {
	Reason Reason
	// Detail is more about the reason of an OIDC token, for the operator's log; "" if there is none.
	Detail string
	// RetryAfter is when the same request may be accepted; 0 is never.
	RetryAfter time.Duration
	// showedToken is true if there is a readable OIDC token, tokenProblem is why another one can't be read.
	showedToken  bool
	tokenProblem Reason

	// suggestIdentity and suggestAuthorization add to the message that a Kubernetes identity suffices, and that the
	// secret is also read from the header Authorization.
	suggestIdentity, suggestAuthorization bool
}

// Error returns the message for the sender. It depends only on the request, not on what is configured or exists, so
// that clients can't probe for targets or missing secrets. It has no angle brackets, which JSON would escape.
func (r *Rejection) Error() string {
	var b strings.Builder
	switch { // other credentials, if there are any, are mended next
	case r.tokenProblem != "":
		return "the OIDC token shown " + tokenProblems[r.tokenProblem]
	case r.showedToken:
		return "the OIDC token shown is valid only if " + SecretName + " in the namespace trusts its issuer, " +
			"under the key " + oidcKey + ", and its audience and claims are as required there"
	}
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
	b.WriteString("or send an OIDC token in " + secretheader.IDToken)
	if r.suggestAuthorization {
		b.WriteString(" or " + secretheader.Authorization + ": Bearer")
	}
	b.WriteString(", or send the secret in " + strings.Join(secretheader.Tokens, ", "))
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

// tokenProblems says what is wrong with a token, and what to do.
var tokenProblems = map[Reason]string{
	ReasonRepeatedHeader:   "is given more than once: send it once",
	ReasonMalformedToken:   "is not a JWT in compact form with iss and exp: send the ID token itself, without Bearer",
	ReasonTokenTooLong:     "is too long: have the issuer put fewer claims into it",
	ReasonTokenEncrypted:   "is encrypted (JWE): have the issuer only sign it",
	ReasonTokenAlgorithm:   "is not signed with RS, PS or ES and 256, 384 or 512: no other algorithm is accepted",
	ReasonTokenExpired:     "has expired: get a new one for each delivery",
	ReasonTokenNotYetValid: "is not valid yet: check the clocks",
}

// isMismatch reports whether there was something to compare the credential with.
func (r *Rejection) isMismatch() bool {
	switch r.Reason {
	case ReasonSignatureMismatch, ReasonTokenMismatch, ReasonTokenSignatureMismatch, ReasonAudienceNotAccepted,
		ReasonClaimsNotAccepted:
		return true
	default:
		return false
	}
}

func rejectionReason(valid validSecrets, presented credentials) Reason {
	hasSignature := len(presented.signatures)+len(presented.sha1) > 0
	hasToken := len(presented.tokens)+len(presented.queryTokens) > 0
	switch {
	case presented.idTokenProblem != "":
		return presented.idTokenProblem
	case hasSignature && len(valid.hmac) > 0, presented.message != nil && hasSigningToken(valid.hmac):
		return ReasonSignatureMismatch
	case hasToken && len(valid.token) > 0:
		return ReasonTokenMismatch
	case hasSignature || presented.message != nil || hasToken || len(presented.idTokens) > 0:
		return ReasonNoSecretConfigured
	case presented.unreadableReason != "":
		return presented.unreadableReason
	default:
		return ReasonNoCredential
	}
}
