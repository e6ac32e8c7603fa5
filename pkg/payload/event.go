// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"net/http"
	"slices"

	"postern.dev/postern/apis/postern"
)

// Input is one delivery.
type Input struct {
	// Source is the sender type that the caller claims; if empty, it is detected. A claim selects among the senders
	// that match the delivery. It never grants more than detection.
	Source string
	// Header contains the sender's headers under canonical keys, as stored by http.Header.Set. It may be nil.
	Header http.Header
	// Body is the sender's payload, unchanged. Decode does not modify it.
	Body []byte
	// RegistryURL is the address prefix from which clusters pull the registry's images. The operator sets it in the
	// query of the webhook's URL (registry_url): "registry.example.com", "https://example.com/docker-local". It is used
	// only for senders that do not reliably report it: aliyun-acr, distribution, jfrog, nexus and zot.
	RegistryURL string
	// RegistryURLs returns the addresses that the operator configured for the registry of a sender type, one per line:
	// ADDRESS for all repositories, or NAME=ADDRESS for one repository that the payload names. It returns "" if there
	// are none. It may be nil.
	RegistryURLs func(source string) string
	// Signed is set if only a signature of the body authenticates the sender. Use DecodeSigned then.
	Signed bool
}

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

// MaxEvents is the maximum number of events in one delivery. Decode refuses more.
const MaxEvents = 256

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
	IgnoredNothingPushed  = "NothingPushed"  // a push that moved no ref
	IgnoredNotAnImage     = "NotAnImage"     // a chart, a layer, a signature or another artifact
	IgnoredDigestOnly     = "DigestOnly"     // an image without a tag cannot be compared
)

// IsIgnoredReason reports whether the reason is one of the Ignored constants, which do not depend on targets.
func IsIgnoredReason(reason string) bool {
	switch reason {
	case IgnoredPing, IgnoredEvent, IgnoredAction, IgnoredDraft, IgnoredRefCreated, IgnoredRefDeleted,
		IgnoredNotBranchOrTag,
		IgnoredNothingPushed, IgnoredNotAnImage, IgnoredDigestOnly:
		return true
	}
	return false
}

// add adds an event. It keeps one more than MaxEvents, which Decode then refuses.
func (d *Decoded) add(e postern.DeliveryEvent) {
	if len(d.Events) <= MaxEvents {
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
