// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// keptHeaders are worth keeping in a record: they tell what the sender says that it sent. None can hold a secret.
var keptHeaders = []string{"Content-Type", "User-Agent", "X-Github-Delivery", "X-Github-Event"}

// maxKeptHeaderBytes bounds a kept header, which is as hostile as any other.
const maxKeptHeaderBytes = 256

// headersToKeep picks from the sender's headers, under canonical keys, those that a record keeps.
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

// printable reports whether a value is UTF-8 without anything that a terminal would obey rather than show.
func printable(value string) bool {
	return utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) })
}
