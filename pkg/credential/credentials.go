// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"
)

// credentials are what one attempt shows. There is at most one of each header that is read, which bounds the work that a
// sender can cause.
type credentials struct {
	signatures       [][]byte       // decoded, each sha256.Size bytes
	sha1             [][]byte       // at most one, sha1.Size bytes; see nexusHeader
	message          *signedMessage // by a signing token; nil if there is none
	tokens           []string       // never empty strings
	queryTokens      []string       // at most one
	unreadableReason Reason         // why the first proof that could not be read could not be; "" if all could
}

// readCredentials reads what an attempt shows at the time now.
func readCredentials(a Attempt, now time.Time) credentials {
	var c credentials
	c.readSignatures(a, now)
	for _, name := range tokenHeaders {
		token, problem := singleValue(a.Header, name)
		if token != "" {
			c.tokens = append(c.tokens, token)
		}
		c.unreadableReason = cmp.Or(c.unreadableReason, problem)
	}
	tokens, problem := authorizationTokens(a)
	c.tokens, c.unreadableReason = append(c.tokens, tokens...), cmp.Or(c.unreadableReason, problem)
	switch {
	case a.QuerySecret == "":
	case mayUseQueryToken(a.Source):
		c.queryTokens = []string{a.QuerySecret}
	default:
		c.unreadableReason = cmp.Or(c.unreadableReason, ReasonQueryTokenNotAllowed)
	}
	return c
}

// readSignatures reads the signatures that count from the sender of an attempt. Others are as good as unreadable.
func (c *credentials) readSignatures(a Attempt, now time.Time) {
	for _, header := range signatureHeaders {
		mac, problem := header.read(a.Header)
		if mac != nil && !signsWith(a.Source, schemeSHA256) {
			mac, problem = nil, ReasonSignatureNotCounted
		}
		if mac != nil {
			c.signatures = append(c.signatures, mac)
		}
		c.unreadableReason = cmp.Or(c.unreadableReason, problem)
	}
	if mac := jfrogSignature(a.Header); mac != nil && signsWith(a.Source, schemeJFrog) {
		c.signatures = append(c.signatures, mac)
	}
	mac, problem := nexusSignature(a)
	if mac != nil {
		c.sha1 = [][]byte{mac}
	}
	c.unreadableReason = cmp.Or(c.unreadableReason, problem)
	message, problem := readSignedMessage(a.Header, now)
	if message != nil && !signsWith(a.Source, schemeSigningToken) {
		message, problem = nil, ReasonSignatureNotCounted
	}
	c.message, c.unreadableReason = message, cmp.Or(c.unreadableReason, problem)
}

// read returns the MAC in the header, or nil and, if the header is there at all, why it cannot be read.
func (s signatureHeader) read(h http.Header) ([]byte, Reason) {
	if len(h.Values(s.name)) == 0 {
		return nil, ""
	}
	value, problem := singleValue(h, s.name)
	if problem != "" {
		return nil, problem
	}
	if strings.HasPrefix(value, "sha1=") {
		return nil, ReasonSHA1Signature
	}
	digits, found := strings.CutPrefix(value, s.prefix)
	if !found || len(digits) != hex.EncodedLen(sha256.Size) {
		return nil, ReasonMalformedSignature
	}
	mac, err := hex.DecodeString(digits)
	if err != nil {
		return nil, ReasonMalformedSignature
	}
	return mac, ""
}

// authorizationTokens returns what the header Authorization may mean as a token: all of it, since a secret may begin with a
// word that looks like a scheme, and what follows the scheme Bearer, which is written in any case (RFC 9110, section 11.1).
func authorizationTokens(a Attempt) ([]string, Reason) {
	if !a.AuthorizationIsToken {
		return nil, ""
	}
	value, problem := singleValue(a.Header, authorizationHeader)
	if value == "" {
		return nil, problem
	}
	tokens := []string{value}
	scheme, token, _ := strings.Cut(value, " ")
	if token = strings.TrimSpace(token); token != "" && strings.EqualFold(scheme, bearerScheme) {
		tokens = append(tokens, token)
	}
	return tokens, ""
}

// singleValue returns the value of a header, "" if it is not there. A header given more than once is not read: each reader
// on the way may have taken another of its values for the true one.
func singleValue(h http.Header, name string) (string, Reason) {
	switch values := h.Values(name); len(values) {
	case 0:
		return "", ""
	case 1:
		return values[0], ""
	default:
		return "", ReasonRepeatedHeader
	}
}

// matchesAnySignature hashes the body once for each secret, and not at all when no signature was shown. Without a secret it
// hashes as if there were one: the time that a large body takes must not tell strangers that there is none.
func matchesAnySignature(newHash func() hash.Hash, secrets []secret, body []byte, signatures [][]byte) bool {
	if len(signatures) == 0 {
		return false
	}
	if len(secrets) == 0 {
		macOf(newHash, nil, body)
		return false
	}
	for _, s := range secrets {
		if equalsAny(macOf(newHash, s.key, body), signatures) {
			return true
		}
	}
	return false
}

func equalsAny(mac []byte, presented [][]byte) bool {
	return slices.ContainsFunc(presented, func(other []byte) bool { return hmac.Equal(mac, other) })
}

func macOf(newHash func() hash.Hash, key []byte, parts ...[]byte) []byte {
	h := hmac.New(newHash, key)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// matchesAnyToken compares digests, so that the time taken shows nothing of a secret's length.
func matchesAnyToken(secrets []secret, tokens []string) bool {
	for _, token := range tokens {
		digest := sha256.Sum256([]byte(token))
		for _, s := range secrets {
			if hmac.Equal(digest[:], s.digest[:]) {
				return true
			}
		}
	}
	return false
}

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
	value, _ := singleValue(h, jfrogHeader)
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
	if !signsWith(a.Source, schemeSHA1) {
		return nil, ReasonSHA1Signature
	}
	value, problem := singleValue(a.Header, nexusHeader)
	if problem != "" {
		return nil, problem
	}
	mac, err := hex.DecodeString(value)
	if err != nil || len(mac) != sha1.Size {
		return nil, ReasonMalformedSignature
	}
	return mac, ""
}
