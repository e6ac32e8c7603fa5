// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"net/http"
	"time"
)

// Input is one delivery, as it came in.
type Input struct {
	// Source is the sender type that the caller claims; empty means: detect it. A claim chooses among the senders that
	// the delivery fits and never widens what it may do.
	Source string
	// Header holds the sender's headers under canonical keys, as http.Header.Set stores them. It may be nil.
	Header http.Header
	// Body is the sender's payload, byte for byte. It is never modified.
	Body []byte
}

// Decoded is what a delivery says. Without an error it holds at least one event or one reason why there is none.
type Decoded struct {
	// Source is the sender type. It is set even when decoding failed, as soon as it is known who sent the body.
	Source string
	// DeliveryID is the sender's id of the delivery as a whole, the same when it is delivered again, or empty.
	DeliveryID string
	Events     []Event
	Ignored    []Ignored
}

// Event is one thing that a sender asks for. Its fields are checked and safe to store and to show.
type Event struct {
	// Source is the sender type, one of Sources.
	Source string
	// Type is what happened, in the sender's words: "release.published", "push".
	Type string
	// Ref is the requested git ref in its short form: "main", "v2.0.0". ValidateRef accepts it.
	Ref string
	// RefType is what Ref names, or empty when the payload does not say.
	RefType RefType
	// Repository is the URL of the repository as the payload gives it, without credentials, or empty.
	Repository string
	// Revision is the full id of the commit, or empty.
	Revision string
	// DeliveryID is the sender's id of this event where it has one of its own, else that of the delivery.
	DeliveryID string
	// Time is when the event happened at the sender, in UTC; zero when unknown. It is never a commit's date, which its
	// author chooses.
	Time time.Time
}

// RefType says what a git ref names.
type RefType string

// The kinds of git ref.
const (
	RefTypeBranch RefType = "Branch"
	RefTypeTag    RefType = "Tag"
	RefTypeCommit RefType = "Commit"
)

// Ignored is something that was understood and asks for nothing.
type Ignored struct {
	// Reason is one of the constants below.
	Reason string
	// Message explains the reason to people.
	Message string
}

// Why something was ignored.
const (
	IgnoredPing           = "Ping"           // the sender only tests the connection
	IgnoredEvent          = "EventIgnored"   // an event that never names a ref to deploy
	IgnoredAction         = "ActionIgnored"  // an action that does not publish anything
	IgnoredDraft          = "Draft"          // a release that is not public yet
	IgnoredRefCreated     = "RefCreated"     // a push says the same, and more
	IgnoredRefDeleted     = "RefDeleted"     // what is gone cannot be deployed
	IgnoredNotBranchOrTag = "NotBranchOrTag" // a pull request, note or other ref
)

func (d *Decoded) add(e Event) {
	d.Events = append(d.Events, e)
}

func (d *Decoded) ignore(reason, format string, args ...any) {
	d.Ignored = append(d.Ignored, Ignored{Reason: reason, Message: fmt.Sprintf(format, args...)})
}
