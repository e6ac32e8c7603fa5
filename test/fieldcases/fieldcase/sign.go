// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fieldcase

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
)

// schemes are the hashes of the headers in which senders sign bodies, and the prefixes of their values.
var schemes = map[string]struct {
	hash   func() hash.Hash
	prefix string
}{
	"X-Hub-Signature-256":       {sha256.New, "sha256="}, // GitHub, and many others
	"X-Hub-Signature":           {sha256.New, "sha256="}, // Bitbucket
	"X-Gitea-Signature":         {sha256.New, ""},
	"X-Forgejo-Signature":       {sha256.New, ""},
	"X-Gogs-Signature":          {sha256.New, ""},
	"X-Jfrog-Event-Auth":        {sha256.New, ""},
	"X-Nexus-Webhook-Signature": {sha1.New, ""},
}

// SignBody returns the header and its value by which a sender signs a body.
func (s *Signature) SignBody(secret string, body []byte) (header, value string, err error) {
	header = cmp.Or(s.Header, "X-Hub-Signature-256")
	scheme, ok := schemes[http.CanonicalHeaderKey(header)]
	if !ok {
		return "", "", fmt.Errorf("it is not known how senders sign in the header %s", header)
	}
	mac := hmac.New(scheme.hash, []byte(secret))
	mac.Write(body)
	return header, scheme.prefix + hex.EncodeToString(mac.Sum(nil)), nil
}
