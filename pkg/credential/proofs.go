// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"
)

// proofs are what one attempt shows. There is at most one of each header that is read, which bounds the work that a
// sender can cause.
type proofs struct {
	signatures  [][]byte       // decoded, each sha256.Size bytes
	sha1        [][]byte       // at most one, sha1.Size bytes; see nexusHeader
	message     *signedMessage // by a signing token; nil if there is none
	tokens      []string       // never empty strings
	queryTokens []string       // at most one
	unreadable  Reason         // why the first proof that could not be read could not be; "" if all could
}

// proofsOf reads what an attempt shows at the time now.
func proofsOf(a Attempt, now time.Time) proofs {
	var p proofs
	p.readSignatures(a, now)
	for _, name := range tokenHeaders {
		token, problem := onlyValue(a.Header, name)
		if token != "" {
			p.tokens = append(p.tokens, token)
		}
		p.unreadable = cmp.Or(p.unreadable, problem)
	}
	tokens, problem := authorizationTokens(a)
	p.tokens, p.unreadable = append(p.tokens, tokens...), cmp.Or(p.unreadable, problem)
	switch {
	case a.QuerySecret == "":
	case mayUseQueryToken(a.Source):
		p.queryTokens = []string{a.QuerySecret}
	default:
		p.unreadable = cmp.Or(p.unreadable, ReasonQueryTokenNotAllowed)
	}
	return p
}

// readSignatures reads the signatures that count from the sender of an attempt. Others are as good as unreadable.
func (p *proofs) readSignatures(a Attempt, now time.Time) {
	for _, header := range signatureHeaders {
		mac, problem := header.read(a.Header)
		if mac != nil && !signsBy(a.Source, bySHA256) {
			mac, problem = nil, ReasonSignatureNotCounted
		}
		if mac != nil {
			p.signatures = append(p.signatures, mac)
		}
		p.unreadable = cmp.Or(p.unreadable, problem)
	}
	if mac := jfrogSignature(a.Header); mac != nil && signsBy(a.Source, byJFrog) {
		p.signatures = append(p.signatures, mac)
	}
	mac, problem := nexusSignature(a)
	if mac != nil {
		p.sha1 = [][]byte{mac}
	}
	p.unreadable = cmp.Or(p.unreadable, problem)
	message, problem := readSignedMessage(a.Header, now)
	if message != nil && !signsBy(a.Source, bySigningToken) {
		message, problem = nil, ReasonSignatureNotCounted
	}
	p.message, p.unreadable = message, cmp.Or(p.unreadable, problem)
}

// read returns the MAC in the header, or nil and, if the header is there at all, why it cannot be read.
func (s signatureHeader) read(h http.Header) ([]byte, Reason) {
	if len(h.Values(s.name)) == 0 {
		return nil, ""
	}
	value, problem := onlyValue(h, s.name)
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
	value, problem := onlyValue(a.Header, authorizationHeader)
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

// onlyValue returns the value of a header, "" if it is not there. A header given more than once is not read: each reader
// on the way may have taken another of its values for the true one.
func onlyValue(h http.Header, name string) (string, Reason) {
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

func equalsAny(mac []byte, shown [][]byte) bool {
	return slices.ContainsFunc(shown, func(other []byte) bool { return hmac.Equal(mac, other) })
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
