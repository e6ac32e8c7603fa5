// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// keptHeaders are the headers that a record keeps: they describe the delivery and hold no secrets. X-Hook-UUID is not
// among them: it is the same in all deliveries of Bitbucket Cloud, and some receivers use it as a secret. Nor are
// Ce-Source and Ce-Subject: Ce-Source is a URI, which may contain user:password@host.
var keptHeaders = []string{
	"Content-Type", "User-Agent",
	"X-Github-Delivery", "X-Github-Event",
	"X-Gitea-Delivery", "X-Gitea-Event", "X-Gitea-Event-Type",
	"X-Forgejo-Delivery", "X-Forgejo-Event", "X-Forgejo-Event-Type",
	"X-Gogs-Delivery", "X-Gogs-Event",
	"X-Gitlab-Event", "X-Gitlab-Event-Uuid", "Idempotency-Key", "Webhook-Id", "Webhook-Timestamp",
	"X-Event-Key", "X-Request-Uuid", "X-Attempt-Number", // Bitbucket Cloud
	"X-Request-Id",                // Bitbucket Data Center
	"Ce-Id", "Ce-Time", "Ce-Type", // CloudEvents
	"X-Nexus-Webhook-Delivery", "X-Nexus-Webhook-Id",
}

// maxKeptHeaderBytes bounds a kept header, since headers are untrusted.
const maxKeptHeaderBytes = 256

// headersToKeep returns the headers that a record keeps, under canonical keys.
func headersToKeep(h http.Header) map[string]string {
	var kept map[string]string
	for _, name := range keptHeaders {
		value := h.Get(name)
		if value == "" || len(value) > maxKeptHeaderBytes || !printable(value) {
			continue
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[name] = value
	}
	return kept
}

// printable reports whether a value is UTF-8 without characters that control a terminal.
func printable(value string) bool {
	return utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) })
}
