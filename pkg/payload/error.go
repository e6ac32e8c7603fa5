// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"strings"

	"postern.dev/postern/pkg/text"
)

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
