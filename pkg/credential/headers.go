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

// signatureHeader is a header that carries an HMAC-SHA256 of the body as hexadecimal digits after a prefix.
type signatureHeader struct{ name, prefix string }

// signatureHeaders are those of a signed body. Each counts from every sender that signs its body: the right MAC shows who
// holds the secret, whichever header it is in.
var signatureHeaders = []signatureHeader{
	// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
	{"X-Hub-Signature-256", "sha256="},
	// Bitbucket: https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/
	// GitHub and Gitea send SHA-1 under this name, beside a SHA-256 under another.
	{"X-Hub-Signature", "sha256="},
	// Gitea's and Forgejo's services/webhook/deliver.go; Gogs' internal/database/webhook.go
	{"X-Gitea-Signature", ""},
	{"X-Forgejo-Signature", ""},
	{"X-Gogs-Signature", ""},
}

// tokenHeaders are the headers that carry a secret as it is. The first is GitLab's:
// https://docs.gitlab.com/user/project/integrations/webhooks/
var tokenHeaders = []string{"X-Gitlab-Token", "X-Webhook-Secret", "X-Webhook-Token", jfrogHeader}

// authorizationHeader carries a secret too, but is read only where it is the sender's own: see
// Attempt.AuthorizationIsToken. Harbor and Azure Container Registry send what one writes there as it is, others put the
// scheme before it.
const (
	authorizationHeader = "Authorization"
	bearerScheme        = "Bearer"
)

// unreadSecretHeaders carry a secret, or what a secret could be guessed from, but are not read here, or not at every door.
var unreadSecretHeaders = []string{
	authorizationHeader,
	"Cookie",
	"Proxy-Authorization",
}

// IsSecretHeader reports whether a header of that name, in any case, carries a signature or a token. Such a header must
// never be stored or logged.
func IsSecretHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return slices.Contains(tokenHeaders, name) || slices.Contains(unreadSecretHeaders, name) || IsSignatureHeader(name)
}

// IsSignatureHeader reports whether a header of that name, in any case, carries a signature that is read here. Unlike a
// token, it is of no use with any other body.
func IsSignatureHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name == messageSignatureHeader || name == nexusHeader ||
		slices.ContainsFunc(signatureHeaders, func(h signatureHeader) bool { return h.name == name })
}

// StripSecrets removes from h every header for which IsSecretHeader holds. Call it once the attempt is verified, before
// anything else sees the headers. A nil h is left alone.
func StripSecrets(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return IsSecretHeader(name) })
}

// CutQuerySecret cuts every secret out of a query, the unreadable ones too, and returns the first. What else is in the query
// stays as it was written.
func CutQuerySecret(query string) (rest, secret string, found bool) {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err != nil || name != "secret" {
			kept = append(kept, pair)
			continue
		}
		if !found {
			secret, _ = url.QueryUnescape(value) // "" if it can't be read
		}
		found = true
	}
	return strings.Join(kept, "&"), secret, found
}
