// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package secretheader lists the headers in which senders prove themselves. They must never be stored or logged.
package secretheader

import (
	"maps"
	"net/http"
	"slices"
)

// Signature is a header with an HMAC-SHA256 of the body in hexadecimal after a prefix.
type Signature struct{ Name, Prefix string }

// Signatures are the headers that sign the body. Each is accepted from every type of sender that signs its body: a
// valid MAC proves knowledge of the secret, in any header.
var Signatures = []Signature{
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

// Tokens are the headers whose value is a secret. The first is GitLab's:
// https://docs.gitlab.com/user/project/integrations/webhooks/
var Tokens = []string{"X-Gitlab-Token", "X-Webhook-Secret", "X-Webhook-Token", JFrog}

// The headers of signatures in other forms.
const (
	// JFrog has the secret itself or the HMAC-SHA256 of the body in hexadecimal, depending on the webhook's settings.
	// The request does not say which, so both are tried:
	// https://jfrog.com/help/r/jfrog-platform-administration-documentation/webhooks
	JFrog = "X-Jfrog-Event-Auth"

	// Nexus has an HMAC-SHA1 in hexadecimal. It is accepted only from Sonatype Nexus Repository, which supports nothing
	// else: https://help.sonatype.com/en/enabling-a-repository-webhook-capability.html
	// HMAC-SHA1 has not been broken (RFC 6194).
	Nexus = "X-Nexus-Webhook-Signature"

	// MessageID, MessageTime and MessageSignature have an HMAC of "<id>.<timestamp>.<body>" by a signing token, as
	// specified by Standard Webhooks. Only the last is a secret header.
	// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
	// GitLab supports it since version 19: https://docs.gitlab.com/user/project/integrations/webhooks/#signing-tokens
	MessageID        = "Webhook-Id"
	MessageTime      = "Webhook-Timestamp"
	MessageSignature = "Webhook-Signature"
)

// Authorization has a secret too, but is read only if the sender itself set it.
const Authorization = "Authorization"

// IDToken has an OIDC token. Through the kube-apiserver it can't be in Authorization: the kube-apiserver rejects bearer
// tokens that it does not know, and removes the others.
const IDToken = "X-Webhook-Oidc-Token"

// unread are headers that have a secret that is no shared one, or data from which a secret could be guessed, and those
// that are not read at every endpoint.
var unread = []string{Authorization, IDToken, "Cookie", "Proxy-Authorization"}

// Is reports whether a header of that name, in any case, may have a signature or a token.
func Is(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return slices.Contains(Tokens, name) || slices.Contains(unread, name) || IsSignature(name)
}

// IsSignature reports whether a header of that name, in any case, may have a signature. Unlike a token, a signature is
// useless with any other body.
func IsSignature(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name == MessageSignature || name == Nexus ||
		slices.ContainsFunc(Signatures, func(h Signature) bool { return h.Name == name })
}

// Strip removes every secret header from h, which may be nil. Call it right after verification, before the headers are
// used for anything else.
func Strip(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return Is(name) })
}
