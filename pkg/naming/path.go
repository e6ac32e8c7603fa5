// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// IsCleanPath reports whether a text is the path of a file below the root of a repository, as git prints it, and safe
// to display. A name that is not UTF-8, for which JSON has replacement characters, is not: it may be any name.
func IsCleanPath(file string) bool {
	return file != "" && path.Clean("/"+file) == "/"+file && utf8.ValidString(file) &&
		!strings.ContainsRune(file, utf8.RuneError) && !strings.ContainsFunc(file, unicode.IsControl)
}
