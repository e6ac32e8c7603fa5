// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "strings"

// maxSourceBytes is somewhat more than the longest sender type has.
const maxSourceBytes = 20

// LooksLikeSource reports whether a text is written as sender types are. Do not show a stranger's that is not: it may be a
// secret, or have one behind a type from which it was separated by a second "?" or by an encoded "&".
func LooksLikeSource(text string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-'
	}
	return text != "" && len(text) <= maxSourceBytes && !strings.ContainsFunc(text, other)
}
