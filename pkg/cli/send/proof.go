// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package send

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"postern.dev/postern/pkg/cli/setup"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/secretheader"
)

// proof is what a sender without an identity proves itself with.
type proof struct {
	method credential.Method
	secret string
	// id and time are signed by a signing token.
	id   string
	time time.Time
}

// add adds the proof of a type of sender to a request with body.
func (p proof) add(source string, body []byte, h http.Header, query url.Values) error {
	switch p.method {
	case credential.MethodHMAC:
		return p.sign(source, body, h)
	case credential.MethodToken:
		h.Set(tokenHeader(source), p.secret)
	case credential.MethodOIDC:
		h.Set(secretheader.IDToken, p.secret)
	case credential.MethodQueryToken:
		query.Set("secret", p.secret)
	default:
		return fmt.Errorf("there is no proof by %s", p.method)
	}
	return nil
}

// sign signs a body by the scheme of the sender.
func (p proof) sign(source string, body []byte, h http.Header) error {
	schemes := schemesOf(source)
	key := setup.SigningKey(p.secret)
	switch {
	case len(schemes) == 0:
		return fmt.Errorf("%s does not sign", setup.TitleOf(source))
	case key != nil && slices.Contains(schemes, payload.SignatureSigningToken):
		timestamp := strconv.FormatInt(p.time.Unix(), 10)
		mac := macOf(sha256.New, key, []byte(p.id+"."+timestamp+"."), body)
		h.Set(secretheader.MessageID, p.id)
		h.Set(secretheader.MessageTime, timestamp)
		h.Set(secretheader.MessageSignature, "v1,"+base64.StdEncoding.EncodeToString(mac))
	case schemes[0] == payload.SignatureJFrog:
		h.Set(secretheader.JFrog, hex.EncodeToString(macOf(sha256.New, []byte(p.secret), body)))
	case schemes[0] == payload.SignatureNexus:
		h.Set(secretheader.Nexus, hex.EncodeToString(macOf(sha1.New, []byte(p.secret), body)))
	default:
		header := signatureHeader(source)
		h.Set(header.Name, header.Prefix+hex.EncodeToString(macOf(sha256.New, []byte(p.secret), body)))
	}
	return nil
}

func schemesOf(source string) []payload.SignatureScheme {
	sender, _ := payload.Lookup(source)
	return sender.Signatures
}

func macOf(newHash func() hash.Hash, key []byte, parts ...[]byte) []byte {
	mac := hmac.New(newHash, key)
	for _, part := range parts {
		_, _ = mac.Write(part) // never fails
	}
	return mac.Sum(nil)
}

// signatureHeader returns the header in which a type of sender sends the signature of the body.
func signatureHeader(source string) secretheader.Signature {
	name := "X-Hub-Signature-256"
	switch source {
	case "bitbucket", "bitbucket-server":
		name = "X-Hub-Signature"
	case "gitea":
		name = "X-Gitea-Signature"
	}
	at := slices.IndexFunc(secretheader.Signatures, func(s secretheader.Signature) bool { return s.Name == name })
	return secretheader.Signatures[at]
}

// tokenHeader returns the header in which a type of sender sends its secret.
func tokenHeader(source string) string {
	switch source {
	case "gitlab":
		return "X-Gitlab-Token"
	case "jfrog":
		return secretheader.JFrog
	default:
		return "X-Webhook-Secret"
	}
}
