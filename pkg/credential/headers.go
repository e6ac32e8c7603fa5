// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// signatureHeader is a header with an HMAC-SHA256 of the body in hexadecimal after a prefix.
type signatureHeader struct{ name, prefix string }

// signatureHeaders are the headers that sign the body. Each is accepted from every type of sender that signs its body:
// a valid MAC proves knowledge of the secret, in any header.
var signatureHeaders = []signatureHeader{
	// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
	{"X-Hub-Signature-256", "sha256="},
	// Bitbucket: https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/
	// GitHub and Gitea send SHA-1 in it, in addition to a SHA-256 in another header.
	{"X-Hub-Signature", "sha256="},
	// Gitea's and Forgejo's services/webhook/deliver.go; Gogs' internal/database/webhook.go
	{"X-Gitea-Signature", ""},
	{"X-Forgejo-Signature", ""},
	{"X-Gogs-Signature", ""},
}

// tokenHeaders are the headers whose value is a secret. The first is GitLab's:
// https://docs.gitlab.com/user/project/integrations/webhooks/
var tokenHeaders = []string{"X-Gitlab-Token", "X-Webhook-Secret", "X-Webhook-Token", jfrogHeader}

// authorizationHeader also has a secret, but is read only if the sender itself set it: see
// Attempt.AuthorizationIsToken. Harbor and Azure Container Registry send the configured value unchanged, others prepend
// the scheme.
const (
	authorizationHeader = "Authorization"
	bearerScheme        = "Bearer"
)

// unreadSecretHeaders have a secret, or data from which a secret could be guessed, and are not read at every endpoint.
var unreadSecretHeaders = []string{
	authorizationHeader,
	"Cookie",
	"Proxy-Authorization",
}

// IsSecretHeader reports whether a header of that name, in any case, may have a signature or a token. Such a header
// must never be stored or logged.
func IsSecretHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return slices.Contains(tokenHeaders, name) || slices.Contains(unreadSecretHeaders, name) || IsSignatureHeader(name)
}

// IsSignatureHeader reports whether a header of that name, in any case, may have a signature that this package reads.
// Unlike a token, a signature is useless with any other body.
func IsSignatureHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name == messageSignatureHeader || name == nexusHeader ||
		slices.ContainsFunc(signatureHeaders, func(h signatureHeader) bool { return h.name == name })
}

// StripSecrets removes every secret header (see IsSecretHeader) from h, which may be nil. Call it right after
// verification, before the headers are used for anything else.
func StripSecrets(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return IsSecretHeader(name) })
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
