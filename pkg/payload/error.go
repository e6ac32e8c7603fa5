// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"strconv"
	"strings"
)

// Error says why a delivery can never work, whoever sends it again and however often.
type Error struct {
	// Reason is one of the constants below.
	Reason string
	// Message says what is wrong and what to do. At most short, quoted fragments of the payload are in it.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Why a delivery was refused.
const (
	ErrorUnknownSource  = "UnknownSource"  // the claimed source is not a sender type
	ErrorSourceConflict = "SourceConflict" // the delivery is not what the claimed source sends
	ErrorUnrecognized   = "Unrecognized"   // no sender type fits
	ErrorMalformedBody  = "MalformedBody"  // neither strict JSON nor a form that holds it
	ErrorInvalidField   = "InvalidField"   // a field that is needed is missing, or is not what it must be
	ErrorInvalidRef     = "InvalidRef"     // the ref breaks a rule of git
	ErrorInvalidImage   = "InvalidImage"   // the image breaks a rule of OCI references
	ErrorTooManyEvents  = "TooManyEvents"  // more than MaxEvents
	ErrorTooComplex     = "TooComplex"     // more names, values or items than are read
)

func refuse(reason, format string, args ...any) error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// maxQuoted bounds, in bytes, what an error or message repeats of a payload.
const maxQuoted = 64

// quoted is a fragment of a payload that is safe to show once it is formatted: short, ASCII, and without control
// characters. Most of what is ignored is never shown, and so is not worth quoting.
type quoted string

func quote(s string) quoted { return quoted(s) }

// String returns the fragment as it is shown.
func (q quoted) String() string {
	if len(q) > maxQuoted {
		return strconv.QuoteToASCII(string(q[:maxQuoted])) + "…"
	}
	return strconv.QuoteToASCII(string(q))
}

func missing(field, why string) error {
	return refuse(ErrorInvalidField, "%s is missing or empty: %s", field, why)
}

// require reports which of the fields, given as names and values in turn, are empty.
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
	return refuse(ErrorInvalidField, "missing or empty, but needed to tell the image: %s", strings.Join(empty, "; "))
}
