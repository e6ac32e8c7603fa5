// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package naming has the rules for the names of git refs, repositories and images. Decoders of payloads, validation and
// targets share them.
package naming

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/text"
)

const (
	headsPrefix = "refs/heads/"
	tagsPrefix  = "refs/tags/"

	// maxRefBytes is the limit of common file systems for one component of a loose ref.
	maxRefBytes = 255
)

// ShortRef removes refs/heads/ or refs/tags/ from a ref and returns its type. Any other ref is returned unchanged,
// without a type.
func ShortRef(ref string) (short string, t postern.RefType) {
	if branch, ok := strings.CutPrefix(ref, headsPrefix); ok {
		return branch, postern.RefTypeBranch
	}
	if tag, ok := strings.CutPrefix(ref, tagsPrefix); ok {
		return tag, postern.RefTypeTag
	}
	return ref, ""
}

// ValidateRef returns an error unless a short ref (see ShortRef) can name a branch, a tag or a commit. It applies the
// rules of `git check-ref-format --allow-onelevel`, https://git-scm.com/docs/git-check-ref-format, and these: no
// leading dash (git refuses it for branches and tags, and other programs would read an option); not HEAD, which is not
// a name of its own; not below refs/, so that a ref has one spelling; valid UTF-8 of at most 255 bytes; only printable
// Unicode characters, because refs are displayed in terminals. The error names the violated rule and quotes the ref.
func ValidateRef(ref string) error {
	if rule := brokenRule(ref); rule != "" {
		return fmt.Errorf("the ref %s is not valid: it %s", text.Quote(ref), rule)
	}
	return nil
}

func brokenRule(ref string) string {
	switch {
	case ref == "":
		return "is empty"
	case len(ref) > maxRefBytes:
		return "is longer than 255 bytes"
	case !utf8.ValidString(ref):
		return "is not UTF-8"
	case ref == "@" || ref == "HEAD":
		return "is not the name of a branch or tag; name the one you mean"
	case strings.HasPrefix(ref, "refs/"):
		return "must be the short name of a branch or tag, not a path below refs/"
	case strings.HasPrefix(ref, "-"):
		return "must not begin with a dash"
	case strings.HasSuffix(ref, "."):
		return "must not end with a dot"
	case strings.Contains(ref, ".."):
		return `must not contain ".."`
	case strings.Contains(ref, "@{"):
		return `must not contain "@{"`
	case strings.ContainsFunc(ref, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }):
		return "must not contain spaces or control characters"
	case strings.ContainsAny(ref, `~^:?*[\`):
		return `must not contain any of ~ ^ : ? * [ \`
	}
	for component := range strings.SplitSeq(ref, "/") {
		switch {
		case component == "":
			return "must not begin or end with a slash or have two in a row"
		case strings.HasPrefix(component, "."):
			return "must not have a component that begins with a dot"
		case strings.HasSuffix(component, ".lock"):
			return "must not have a component that ends with .lock"
		}
	}
	return ""
}
