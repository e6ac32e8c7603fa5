// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// maxRepositoryBytes is more than any host accepts, and small enough to store and display.
const maxRepositoryBytes = 2048

// CleanRepository returns the URL of a repository without credentials, because events are stored and displayed, and
// some URLs are https://user:token@host/repository or have a token in the query. A user name remains if it is part of
// the address and not a secret, as in ssh://git@host/repository. A text that is not a URL (git@host:repository) only
// loses its password.
func CleanRepository(repository string) (string, error) {
	unprintable := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if len(repository) > maxRepositoryBytes || strings.ContainsFunc(repository, unprintable) {
		return "", fmt.Errorf(
			"the URL of the repository must be at most %d bytes without spaces and control characters",
			maxRepositoryBytes)
	}
	if !strings.Contains(repository, "://") {
		return withoutPassword(repository), nil
	}
	u, err := url.Parse(repository)
	if err != nil || u.Opaque != "" {
		// The cause would repeat the URL and any password in it.
		return "", errors.New("the URL of the repository cannot be parsed")
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

// withoutPassword removes the password from user:password@host:repository.
func withoutPassword(address string) string {
	user, rest, found := strings.Cut(address, "@")
	if !found {
		return address
	}
	name, _, _ := strings.Cut(user, ":")
	return name + "@" + rest
}
