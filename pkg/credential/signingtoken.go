// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/pkg/secretheader"
)

const (
	// messageSignaturePrefix is the version with a shared secret. "v1a," is the version with a public key.
	messageSignaturePrefix = "v1,"
	// maxMessageSignatures is far more than a rotation of secrets needs.
	maxMessageSignatures = 8

	// messageWindow bounds the age of a signature, and how far the sender's clock may be ahead.
	messageWindow = 5 * time.Minute

	signingTokenPrefix = "whsec_"
)

// signingKey returns the HMAC key of a signing token, or nil if text is not a signing token.
func signingKey(text string) []byte {
	encoded, found := strings.CutPrefix(text, signingTokenPrefix)
	if !found {
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 { // an empty key would accept any sender's signature
		return nil
	}
	return key
}

func hasSigningToken(secrets []secret) bool {
	return slices.ContainsFunc(secrets, func(s secret) bool { return s.signingKey != nil })
}

// signedMessage is the signature of a webhook with a signing token.
type signedMessage struct {
	head []byte   // signed before the body: "<id>.<timestamp>."
	macs [][]byte // in base64, as they are in the header
}

// readSignedMessage returns the signed message. Without a valid one it returns nil and, if there is a signature, why it
// can't be accepted at the time now. GitLab always sends the other two headers, so these alone are ignored.
func readSignedMessage(h http.Header, now time.Time) (*signedMessage, Reason) {
	if len(h.Values(secretheader.MessageSignature)) == 0 {
		return nil, ""
	}
	signatures, signaturesProblem := singleValue(h, secretheader.MessageSignature)
	id, idProblem := singleValue(h, secretheader.MessageID)
	timestamp, timestampProblem := singleValue(h, secretheader.MessageTime)
	if problem := cmp.Or(signaturesProblem, idProblem, timestampProblem); problem != "" {
		return nil, problem
	}
	signedAt, isTime := parseMessageTime(timestamp)
	macs := parseMessageSignatures(signatures)
	switch {
	case id == "" || strings.Contains(id, "."): // with a dot, the id could be mistaken for id and timestamp
		return nil, ReasonMalformedSignature
	case !isTime || len(macs) == 0:
		return nil, ReasonMalformedSignature
	case now.Sub(signedAt).Abs() > messageWindow:
		return nil, ReasonTimestampOutOfWindow
	}
	return &signedMessage{head: []byte(id + "." + timestamp + "."), macs: macs}, ""
}

// parseMessageTime parses seconds since 1970 in plain digits. Parsers agree on no other form.
func parseMessageTime(text string) (time.Time, bool) {
	if strings.Trim(text, "0123456789") != "" {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

// parseMessageSignatures returns the base64 MACs of a list separated by spaces. During a rotation there is one for each
// secret. Other versions and malformed MACs are skipped.
func parseMessageSignatures(list string) [][]byte {
	entries := strings.Split(list, " ")
	if len(entries) > maxMessageSignatures {
		return nil
	}
	var macs [][]byte
	for _, entry := range entries {
		mac, found := strings.CutPrefix(entry, messageSignaturePrefix)
		if found && len(mac) == base64.StdEncoding.EncodedLen(sha256.Size) {
			macs = append(macs, []byte(mac))
		}
	}
	return macs
}

// matchesMessage hashes the body once for each signing token, and not at all without a signed message. Without a
// signing token it hashes once anyway, like matchesAnySignature.
func matchesMessage(newHash func() hash.Hash, secrets []secret, body []byte, m *signedMessage) bool {
	if m == nil {
		return false
	}
	if !hasSigningToken(secrets) {
		macOf(newHash, nil, m.head, body)
		return false
	}
	for _, s := range secrets {
		if s.signingKey == nil {
			continue
		}
		mac := macOf(newHash, s.signingKey, m.head, body)
		if equalsAny(base64.StdEncoding.AppendEncode(nil, mac), m.macs) {
			return true
		}
	}
	return false
}
