// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/url"
	"strings"
	"unicode"
)

// maxRepositoryBytes is far beyond what any host accepts, and small enough to store and to show.
const maxRepositoryBytes = 2048

// cleanRepository returns the URL of a repository without the credentials it may carry: events are stored and shown,
// and people do write https://user:token@host/repository, or put a token into the query. A user name stays where it is part of the address and no
// secret, as in ssh://git@host/repository. What is not a URL (git@host:repository) loses no more than a password.
func cleanRepository(repository string) (string, error) {
	unprintable := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if len(repository) > maxRepositoryBytes || strings.ContainsFunc(repository, unprintable) {
		return "", refuse(ErrorInvalidField,
			"the URL of the repository must be at most %d bytes without spaces and control characters", maxRepositoryBytes)
	}
	if !strings.Contains(repository, "://") {
		return withoutPassword(repository), nil
	}
	u, err := url.Parse(repository)
	if err != nil || u.Opaque != "" {
		// The cause would repeat the URL, and with it a password.
		return "", refuse(ErrorInvalidField, "the URL of the repository cannot be parsed")
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return repository, nil
	}
	u.RawQuery, u.Fragment = "", ""
	if u.User == nil {
		return u.String(), nil
	}
	if strings.Contains(u.Scheme, "ssh") {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	return u.String(), nil
}

// withoutPassword cuts the password out of user:password@host:repository.
func withoutPassword(address string) string {
	user, rest, found := strings.Cut(address, "@")
	if !found {
		return address
	}
	name, _, _ := strings.Cut(user, ":")
	return name + "@" + rest
}
