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
)

// A webhook with a signing token shows the HMAC of "<id>.<timestamp>.<body>", as Standard Webhooks have it:
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
// GitLab does so from version 19 on: https://docs.gitlab.com/user/project/integrations/webhooks/#signing-tokens
const (
	messageIDHeader        = "Webhook-Id"
	messageTimeHeader      = "Webhook-Timestamp"
	messageSignatureHeader = "Webhook-Signature"

	// messageSignaturePrefix is the version with a shared secret. "v1a," is that with a public key.
	messageSignaturePrefix = "v1,"
	// maxMessageSignatures is far more than a rotation of secrets needs.
	maxMessageSignatures = 8

	// messageWindow is how old a signature may be, and how far ahead of ours the sender's clock.
	messageWindow = 5 * time.Minute

	signingTokenPrefix = "whsec_"
)

// signingKey returns the HMAC key that is in a signing token, or nil if the text is none.
func signingKey(text string) []byte {
	encoded, found := strings.CutPrefix(text, signingTokenPrefix)
	if !found {
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 { // anybody can sign with an empty key
		return nil
	}
	return key
}

func hasSigningToken(secrets []secret) bool {
	return slices.ContainsFunc(secrets, func(s secret) bool { return s.signingKey != nil })
}

// signedMessage is what a webhook with a signing token shows.
type signedMessage struct {
	head []byte   // what is signed before the body: "<id>.<timestamp>."
	macs [][]byte // in base64, as they are in the header
}

// readSignedMessage returns nil and, if there is a signature at all, why it cannot be believed at the time now. GitLab
// sends the other two headers always, so they alone say nothing.
func readSignedMessage(h http.Header, now time.Time) (*signedMessage, Reason) {
	if len(h.Values(messageSignatureHeader)) == 0 {
		return nil, ""
	}
	signatures, signaturesProblem := singleValue(h, messageSignatureHeader)
	id, idProblem := singleValue(h, messageIDHeader)
	timestamp, timestampProblem := singleValue(h, messageTimeHeader)
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

// parseMessageTime reads the seconds since 1970 in plain digits, the only way in which everybody reads them alike.
func parseMessageTime(text string) (time.Time, bool) {
	if strings.Trim(text, "0123456789") != "" {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

// parseMessageSignatures returns the MACs, in base64, of a list that is separated by spaces. While a secret is being
// rotated there is one by each. Those of other versions are skipped, and what cannot be a MAC.
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

// matchesMessage hashes the body once for each signing token, and not at all when nothing signed by one was shown. Without
// a signing token it hashes as if there were one, for the reason that matchesAnySignature has.
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
