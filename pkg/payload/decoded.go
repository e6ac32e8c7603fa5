// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"slices"
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/text"
)

// Decoded is the content of a delivery. Without an error it has at least one event or one ignored item.
type Decoded struct {
	// Source is the sender type. If decoding fails, it is set if the sender is already known.
	Source string
	// DeliveryID is the sender's id of the whole delivery, which retries repeat, or empty.
	DeliveryID string
	// Events are in payload order. They are normalized, valid, and safe to store and display. Refs are short, images
	// fully qualified, and repositories have no credentials. The time of an event is never the date of a commit,
	// because the author controls it.
	Events []postern.DeliveryEvent
	// Ignored has the first ignored items without duplicates, at most 16.
	Ignored []Ignored
}

// Ignored is a part of a delivery that requests nothing.
type Ignored struct {
	// Reason is one of the constants below.
	Reason  string
	Message string
}

// Reasons to ignore a part of a delivery.
const (
	IgnoredPing           = "Ping"           // a connection test
	IgnoredEvent          = "EventIgnored"   // an event that never names a ref to deploy
	IgnoredAction         = "ActionIgnored"  // an action that publishes nothing
	IgnoredDraft          = "Draft"          // a release that is not public yet
	IgnoredRefCreated     = "RefCreated"     // a push with the same ref is sent too
	IgnoredRefDeleted     = "RefDeleted"     // the ref was deleted
	IgnoredNotBranchOrTag = "NotBranchOrTag" // a pull request, note or other ref
	IgnoredInvalidRef     = "InvalidRef"     // a ref that can't be requested
	IgnoredNothingPushed  = "NothingPushed"  // a push that moved no ref
	IgnoredNotPassed      = "NotPassed"      // a run that did not succeed, or was not for a push to the repository
	IgnoredNotAnImage     = "NotAnImage"     // a chart, a layer, a signature or another artifact
	IgnoredDigestOnly     = "DigestOnly"     // an image without a tag cannot be compared
	IgnoredDigest         = "DigestIgnored"  // a digest that is not valid next to a tag that is
)

// IsIgnoredReason reports whether the reason is one of the Ignored constants, which do not depend on targets.
func IsIgnoredReason(reason string) bool {
	switch reason {
	case IgnoredPing, IgnoredEvent, IgnoredAction, IgnoredDraft, IgnoredRefCreated, IgnoredRefDeleted,
		IgnoredNotBranchOrTag, IgnoredInvalidRef, IgnoredNothingPushed,
		IgnoredNotPassed, IgnoredNotAnImage, IgnoredDigestOnly, IgnoredDigest:
		return true
	}
	return false
}

// add adds an event. It keeps one more than MaxEvents, which Decode then refuses.
func (d *Decoded) add(e postern.DeliveryEvent) {
	if len(d.Events) <= postern.MaxEvents {
		d.Events = append(d.Events, e)
	}
}

// maxIgnored limits the ignored items that are kept, because a body may contain thousands of layers.
const maxIgnored = 16

func (d *Decoded) ignore(reason, format string, args ...any) {
	if len(d.Ignored) == maxIgnored {
		return
	}
	i := Ignored{Reason: reason, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(d.Ignored, i) {
		d.Ignored = append(d.Ignored, i)
	}
}

// Error is a permanent decoding failure: retries of the delivery fail in the same way.
type Error struct {
	// Reason is one of the constants below.
	Reason string
	// Message describes the problem and the remedy. It contains at most short, quoted fragments of the payload.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Reasons to refuse a delivery.
const (
	ErrorUnknownSource  = "UnknownSource"  // the claimed source is not a sender type
	ErrorSourceConflict = "SourceConflict" // the delivery is not what the claimed source sends
	ErrorUnrecognized   = "Unrecognized"   // no sender type matches
	ErrorMalformedBody  = "MalformedBody"  // neither strict JSON nor a form that contains it
	ErrorInvalidField   = "InvalidField"   // a required field is missing or not valid
	ErrorInvalidRef     = "InvalidRef"     // the ref breaks a rule of git
	ErrorInvalidImage   = "InvalidImage"   // the image breaks a rule of OCI references
	ErrorTooManyEvents  = "TooManyEvents"  // more than MaxEvents
	ErrorTooComplex     = "TooComplex"     // too many names, values or items
)

func refuse(reason, format string, args ...any) error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// quoted is a payload fragment that is formatted by text.Quote. Formatting is lazy because most messages about ignored
// items are dropped.
type quoted string

func quote(s string) quoted { return quoted(s) }

func (q quoted) String() string { return text.Quote(string(q)) }

func missing(field, why string) error {
	return refuse(ErrorInvalidField, "%s is missing or empty: %s", field, why)
}

// require returns an error that lists the empty fields. The arguments alternate between names and values.
func require(fields ...string) error {
	var empty []string
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" {
			empty = append(empty, fields[i])
		}
	}
	if empty == nil {
		return nil
	}
	return refuse(ErrorInvalidField, "missing or empty, but needed to identify the image: %s",
		strings.Join(empty, "; "))
}
