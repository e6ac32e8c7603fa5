// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"slices"
	"strings"
)

// sender is one kind of system that delivers webhooks.
type sender struct {
	// name is the sender type.
	name string
	// expects says in a few words what a body of this sender has, for errors.
	expects string
	// sentBy reports whether event headers name this sender; nil if it has none.
	sentBy func(http.Header) bool
	// fits reports whether a message without event headers has the shape that this sender's have. It must say no to
	// what decode would misread.
	fits func(message) bool
	// decode adds the events of a message, and what it ignores, to the result. Decode checks and completes them.
	decode func(message, *Decoded) error
}

// senders is the table of sender types. It is never written. Detection takes the first that fits, by header and by shape,
// so a sender that also sends another's headers or shape stands before it.
var senders = []sender{
	{"github", "release.tag_name, or ref and after", withHeader("X-GitHub-Event"), fitsGitHub, decodeGitHub},
	{"argocd", `app.metadata.annotations["git.ref"] or app.status.sync.revision`, nil, fitsArgoCD, decodeArgoCD},
	{"kargo", "freight.commits", nil, fitsKargo, decodeKargo},
	{SourceGeneric, "ref, and no field of a GitHub event", nil, fitsGeneric, decodeGeneric},
}

// decidingHeaders are all the headers that tell who sent a body, what it is, or whether it came before.
var decidingHeaders = []string{"X-GitHub-Event", "X-GitHub-Delivery"}

// withHeader recognizes a sender by a header that all its deliveries have.
func withHeader(name string) func(http.Header) bool {
	return func(h http.Header) bool { return h.Get(name) != "" }
}

// Sources returns the known sender types, sorted.
func Sources() []string {
	var names []string
	for _, s := range senders {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

// SourceFromHeader returns the sender type that the event headers name, or "" if they name none. Decode decides by the
// same function, so a secret chosen by it is the secret of the sender whose rules then apply.
func SourceFromHeader(h http.Header) string {
	for _, s := range senders {
		if s.sentBy != nil && s.sentBy(h) {
			return s.name
		}
	}
	return ""
}

// senderByName returns the sender of that type, and whether there is one.
func senderByName(name string) (sender, bool) {
	for _, s := range senders {
		if s.name == name {
			return s, true
		}
	}
	return sender{}, false
}

// senderByShape returns the first sender whose shape the body has.
func senderByShape(m message) (sender, error) {
	var expected []string
	for _, s := range senders {
		if s.fits(m) {
			return s, nil
		}
		expected = append(expected, s.expects+" ("+s.name+")")
	}
	return sender{}, refuse(ErrorUnrecognized,
		`no known sender sends such a body: expected %s; to ask for a ref yourself, send {"ref": "main"}`,
		strings.Join(expected, "; "))
}
