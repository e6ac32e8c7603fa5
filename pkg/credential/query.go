// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"net/url"
	"strings"
)

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
