// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"net/http"
	"slices"
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
	// RegistryURL is the address below which clusters pull the registry's images, as the operator wrote it into the query
	// of the webhook's URL (registry_url): "registry.example.com", "https://example.com/docker-local". It is heeded for
	// the senders alone that don't reliably know it: aliyun-acr, distribution, jfrog, nexus and zot.
	RegistryURL string
	// RegistryURLs returns the addresses that the operator gives for the registry of a type of sender, apart from the
	// request: each on a line, as an address for all its repositories, or as NAME=ADDRESS for one that the payload names.
	// It returns "" if there are none; nil is the same for all.
	RegistryURLs func(source string) string
	// Signed is set where nothing but a signature of the body proves the sender. Use DecodeSigned then.
	Signed bool
}

// Decoded is what a delivery says. Without an error it holds at least one event or one reason why there is none.
type Decoded struct {
	// Source is the sender type. It is set even when decoding failed, as soon as it is known who sent the body.
	Source string
	// DeliveryID is the sender's id of the delivery as a whole, the same when it is delivered again, or empty.
	DeliveryID string
	// Events are in the order of the payload.
	Events []Event
	// Ignored are the first of what was ignored, at most 16, and none twice.
	Ignored []Ignored
}

// MaxEvents is how many events Decode takes from one delivery; more are an error.
const MaxEvents = 256

// Event is one thing that a sender asks for. Its fields are checked and safe to store and to show.
type Event struct {
	// Source is the sender type, one of Sources.
	Source string
	// Type is what happened, in the sender's words: "release.published", "push".
	Type string
	// Ref is the requested git ref in its short form: "main", "v2.0.0". ValidateRef accepts it. Of an image it is the tag,
	// or the digest if there is no tag.
	Ref string
	// RefType is what Ref names, or empty when the payload does not say.
	RefType RefType
	// DefaultBranch is set if the payload says that Ref is the default branch of the repository.
	DefaultBranch bool
	// Image is what was pushed to a registry, named in full; nil for a git ref. NormalizeImage accepts it.
	Image *Image
	// Repository is the URL of the git repository as the payload gives it, without credentials, or empty.
	Repository string
	// Revision is the full id of the commit, or empty.
	Revision string
	// DeliveryID is the sender's id of this event where it has one of its own, else that of the delivery.
	DeliveryID string
	// Time is when the event happened at the sender, in UTC; zero when unknown. It is never a commit's date, which its
	// author chooses.
	Time time.Time
}

// RefType says what a ref names.
type RefType string

// The kinds of ref. A Tag is one of git; those of images are of the type Image.
const (
	RefTypeBranch RefType = "Branch"
	RefTypeTag    RefType = "Tag"
	RefTypeCommit RefType = "Commit"
	RefTypeImage  RefType = "Image"
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
	IgnoredNothingPushed  = "NothingPushed"  // a push that moved no ref
	IgnoredNotAnImage     = "NotAnImage"     // a chart, a layer, a signature or another artifact
	IgnoredDigestOnly     = "DigestOnly"     // an image without a tag: there is nothing to compare it with
)

// IsIgnoredReason reports whether a reason is one for which something is ignored, whatever targets there are.
func IsIgnoredReason(reason string) bool {
	switch reason {
	case IgnoredPing, IgnoredEvent, IgnoredAction, IgnoredDraft, IgnoredRefCreated, IgnoredRefDeleted, IgnoredNotBranchOrTag,
		IgnoredNothingPushed, IgnoredNotAnImage, IgnoredDigestOnly:
		return true
	}
	return false
}

// add adds an event, until there is one more than may be, which Decode then refuses.
func (d *Decoded) add(e Event) {
	if len(d.Events) <= MaxEvents {
		d.Events = append(d.Events, e)
	}
}

// maxIgnored bounds the reasons that are given, since a body may hold thousands of layers.
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
