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
	"net/url"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/secretheader"
)

// credentials are the credentials of one attempt. They have at most one value of each header, which bounds the work
// that a client can cause.
type credentials struct {
	signatures       [][]byte       // decoded, each sha256.Size bytes
	sha1             [][]byte       // at most one, sha1.Size bytes; see secretheader.Nexus
	message          *signedMessage // by a signing token; nil if there is none
	tokens           []string       // never empty strings
	queryTokens      []string       // at most one
	idTokens         []IDToken      // at most one of each header
	idTokenProblem   Reason         // why an OIDC token could not be read; "" if all could
	unreadableReason Reason         // why the first other unreadable credential could not be read; "" if all could
}

// readCredentials reads the credentials of an attempt. now is the time to check timestamps against.
func readCredentials(a Attempt, now time.Time) credentials {
	var c credentials
	sender, _ := payload.Lookup(a.Source)
	c.readSignatures(a, signaturesOf(a.Source), now)
	for _, name := range secretheader.Tokens {
		token, problem := singleValue(a.Header, name)
		if token != "" {
			c.tokens = append(c.tokens, token)
		}
		c.unreadableReason = cmp.Or(c.unreadableReason, problem)
	}
	tokens, problem := authorizationTokens(a)
	c.tokens, c.unreadableReason = append(c.tokens, tokens...), cmp.Or(c.unreadableReason, problem)
	c.idTokens, c.idTokenProblem = readIDTokens(a, now)
	switch {
	case a.QuerySecret == "":
	case sender.QueryToken:
		c.queryTokens = []string{a.QuerySecret}
	default:
		c.unreadableReason = cmp.Or(c.unreadableReason, ReasonQueryTokenNotAllowed)
	}
	return c
}

// signaturesOf returns the schemes that are read for a type of sender. Before it is detected, after which the attempt
// is verified again, these are all but SHA-1.
func signaturesOf(source string) []payload.SignatureScheme {
	if source == "" {
		return []payload.SignatureScheme{
			payload.SignatureBody, payload.SignatureSigningToken, payload.SignatureJFrog,
		}
	}
	sender, _ := payload.Lookup(source)
	return sender.Signatures
}

// readSignatures reads the signatures by the schemes of the sender. Others are reported as unreadable.
func (c *credentials) readSignatures(a Attempt, schemes []payload.SignatureScheme, now time.Time) {
	for _, header := range secretheader.Signatures {
		mac, problem := readSignature(header, a.Header)
		if mac != nil && !slices.Contains(schemes, payload.SignatureBody) {
			mac, problem = nil, ReasonSignatureNotCounted
		}
		if mac != nil {
			c.signatures = append(c.signatures, mac)
		}
		c.unreadableReason = cmp.Or(c.unreadableReason, problem)
	}
	if mac := jfrogSignature(a.Header); mac != nil && slices.Contains(schemes, payload.SignatureJFrog) {
		c.signatures = append(c.signatures, mac)
	}
	mac, problem := nexusSignature(a, schemes)
	if mac != nil {
		c.sha1 = [][]byte{mac}
	}
	c.unreadableReason = cmp.Or(c.unreadableReason, problem)
	message, problem := readSignedMessage(a.Header, now)
	if message != nil && !slices.Contains(schemes, payload.SignatureSigningToken) {
		message, problem = nil, ReasonSignatureNotCounted
	}
	c.message, c.unreadableReason = message, cmp.Or(c.unreadableReason, problem)
}

// readSignature returns the MAC in the header, or nil and, if the header is present, why it can't be read.
func readSignature(s secretheader.Signature, h http.Header) ([]byte, Reason) {
	if len(h.Values(s.Name)) == 0 {
		return nil, ""
	}
	value, problem := singleValue(h, s.Name)
	if problem != "" {
		return nil, problem
	}
	if strings.HasPrefix(value, "sha1=") {
		return nil, ReasonSHA1Signature
	}
	digits, found := strings.CutPrefix(value, s.Prefix)
	if !found || len(digits) != hex.EncodedLen(sha256.Size) {
		return nil, ReasonMalformedSignature
	}
	mac, err := hex.DecodeString(digits)
	if err != nil {
		return nil, ReasonMalformedSignature
	}
	return mac, ""
}

// authorizationTokens returns the tokens in the header Authorization: the whole value, because a secret may begin with
// a word like a scheme, and the part after the scheme Bearer, which is case-insensitive (RFC 9110, section 11.1).
// Harbor and Azure Container Registry send the configured value unchanged, others prepend the scheme.
func authorizationTokens(a Attempt) ([]string, Reason) {
	if !a.AuthorizationIsToken {
		return nil, ""
	}
	value, problem := singleValue(a.Header, secretheader.Authorization)
	if value == "" {
		return nil, problem
	}
	tokens := []string{value}
	scheme, token, _ := strings.Cut(value, " ")
	if token = strings.TrimSpace(token); token != "" && strings.EqualFold(scheme, "Bearer") {
		tokens = append(tokens, token)
	}
	return tokens, ""
}

// singleValue returns the value of a header, "" if it is absent. A header given more than once is rejected: proxies may
// each have used another of its values.
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

// matchesAnySignature hashes the body once for each secret, and not at all without a signature. Without a secret it
// hashes once anyway, so that the time for a large body does not reveal to unauthenticated callers that there is none.
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

// matchesAnyToken compares digests, so that the time taken reveals nothing of a secret's length.
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

// jfrogSignature returns the MAC in JFrog's header, or nil. Any other value of the header is a token.
func jfrogSignature(h http.Header) []byte {
	value, _ := singleValue(h, secretheader.JFrog)
	if len(value) != hex.EncodedLen(sha256.Size) {
		return nil
	}
	mac, err := hex.DecodeString(value)
	if err != nil {
		return nil
	}
	return mac
}

// nexusSignature returns the MAC in Nexus' header, or nil and, if the header is present, why it can't be read.
func nexusSignature(a Attempt, schemes []payload.SignatureScheme) ([]byte, Reason) {
	if len(a.Header.Values(secretheader.Nexus)) == 0 {
		return nil, ""
	}
	if !slices.Contains(schemes, payload.SignatureNexus) {
		return nil, ReasonSHA1Signature
	}
	value, problem := singleValue(a.Header, secretheader.Nexus)
	if problem != "" {
		return nil, problem
	}
	mac, err := hex.DecodeString(value)
	if err != nil || len(mac) != sha1.Size {
		return nil, ReasonMalformedSignature
	}
	return mac, ""
}

// CutQuerySecret removes every secret from a raw query, including unreadable ones, and returns the first. The rest of
// the query is unchanged.
func CutQuerySecret(query string) (rest, secret string, found bool) {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err != nil || name != "secret" {
			kept = append(kept, pair)
			continue
		}
		if !found {
			secret, _ = url.QueryUnescape(value) // "" if unreadable
		}
		found = true
	}
	return strings.Join(kept, "&"), secret, found
}
