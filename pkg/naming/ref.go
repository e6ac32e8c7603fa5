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

// FullRef returns the full name of a short ref of a type, or the ref itself without one.
func FullRef(short string, t postern.RefType) string {
	switch t {
	case postern.RefTypeBranch:
		return headsPrefix + short
	case postern.RefTypeTag:
		return tagsPrefix + short
	default:
		return short
	}
}

// IsCommitID reports whether a ref has the form of a full commit id: SHA-1 or SHA-256 in hexadecimal.
func IsCommitID(ref string) bool {
	return (len(ref) == 40 || len(ref) == 64) && strings.Trim(ref, "0123456789abcdefABCDEF") == ""
}

// ValidateRef returns an error unless a short ref (see ShortRef) of a type can name a branch, a tag or a commit. It
// applies the rules of `git check-ref-format`, https://git-scm.com/docs/git-check-ref-format, to the full name, and
// these: no leading dash (git refuses it for branches and tags, and other programs would read an option); valid UTF-8
// of at most 255 bytes; no control characters, because refs are displayed in terminals. Without a type also: not HEAD,
// which is not a name of its own; not below refs/, so that a ref has one spelling. The error names the violated rule
// and quotes the ref.
func ValidateRef(ref string, t postern.RefType) error {
	if rule := brokenRule(ref, t); rule != "" {
		return fmt.Errorf("the ref %s is not valid: it %s", text.Quote(ref), rule)
	}
	return nil
}

func brokenRule(ref string, t postern.RefType) string {
	switch isShort := t == postern.RefTypeBranch || t == postern.RefTypeTag; {
	case ref == "":
		return "is empty"
	case len(ref) > maxRefBytes:
		return "is longer than 255 bytes"
	case !utf8.ValidString(ref):
		return "is not UTF-8"
	case !isShort && (ref == "@" || ref == "HEAD"):
		return "is not the name of a branch or tag; name the one you mean"
	case !isShort && strings.HasPrefix(ref, "refs/"):
		return "must be the short name of a branch or tag, not a path below refs/"
	case strings.HasPrefix(ref, "-"):
		return "must not begin with a dash"
	case strings.HasSuffix(ref, "."):
		return "must not end with a dot"
	case strings.Contains(ref, ".."):
		return `must not contain ".."`
	case strings.Contains(ref, "@{"):
		return `must not contain "@{"`
	case strings.ContainsFunc(ref, func(r rune) bool { return r == ' ' || unicode.IsControl(r) }):
		return "must not contain spaces or control characters"
	case strings.ContainsAny(ref, `~^:?*[\`):
		return `must not contain any of ~ ^ : ? * [ \`
	}
	return brokenComponentRule(ref)
}

func brokenComponentRule(ref string) string {
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
