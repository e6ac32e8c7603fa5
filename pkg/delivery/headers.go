// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern.dev/postern/pkg/payload"
)

// keptHeaders are the headers that a record keeps: they describe the delivery and hold no secrets.
var keptHeaders = payload.KeptHeaders()

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
