// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

const (
	// jfrogHeader carries the secret as it is, or the HMAC-SHA256 of the body as hexadecimal digits, as the webhook is set
	// up; nothing tells which, so it is tried as both:
	// https://jfrog.com/help/r/jfrog-platform-administration-documentation/webhooks
	jfrogHeader = "X-Jfrog-Event-Auth"

	// nexusHeader carries an HMAC-SHA1 as hexadecimal digits. Sonatype Nexus Repository knows no other method, so SHA-1 is
	// accepted here, and from nobody else: https://help.sonatype.com/en/enabling-a-repository-webhook-capability.html
	// As an HMAC, SHA-1 has not been broken (RFC 6194).
	nexusHeader = "X-Nexus-Webhook-Signature"
)

// jfrogSignature returns the MAC in JFrog's header, or nil. Whatever else is in it is a token.
func jfrogSignature(h http.Header) []byte {
	value, _ := onlyValue(h, jfrogHeader)
	if len(value) != hex.EncodedLen(sha256.Size) {
		return nil
	}
	mac, err := hex.DecodeString(value)
	if err != nil {
		return nil
	}
	return mac
}

// nexusSignature returns the MAC in Nexus' header, or nil and, if the header is there at all, why it cannot be read.
func nexusSignature(a Attempt) ([]byte, Reason) {
	if len(a.Header.Values(nexusHeader)) == 0 {
		return nil, ""
	}
	if !signsBy(a.Source, bySHA1) {
		return nil, ReasonSHA1Signature
	}
	value, problem := onlyValue(a.Header, nexusHeader)
	if problem != "" {
		return nil, problem
	}
	mac, err := hex.DecodeString(value)
	if err != nil || len(mac) != sha1.Size {
		return nil, ReasonMalformedSignature
	}
	return mac, ""
}
