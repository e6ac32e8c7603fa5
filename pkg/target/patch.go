// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/pkg/imageupdate"
)

// Reasons of an Outcome. For an image there are those of package imageupdate too.
const (
	// ReasonRequested: the target did not hold the request before.
	ReasonRequested = "Requested"
	// ReasonAlreadyRequested: the target held the request already; nothing was written.
	ReasonAlreadyRequested = "AlreadyRequested"
	// ReasonNotApplicable: a target of this kind can't hold what is requested.
	ReasonNotApplicable = "NotApplicable"
	// ReasonNotFollowed: the target was not named, and does not follow what was pushed.
	ReasonNotFollowed = "NotFollowed"
	// ReasonSuperseded: something newer was, or is, written to the target.
	ReasonSuperseded = "Superseded"
)

// Outcome says what a request came to, or would come to, at one target.
type Outcome struct {
	// Changes are the fields that carry the request and had to change. What is
	// written beside them (when, by whom, the refresh) is not listed.
	Changes []Change
	// Previous is the ref that was in force before, as far as the target tells.
	Previous string
	// Held is whether the target holds the request in the end. If not it was left as
	// it is: it does not want the request, or can't hold it.
	Held bool
	// Reason is one of the reasons above, or of those of package imageupdate.
	Reason string
	// Message tells people what changed, and what did not although they might expect it.
	Message string
	// UID is that of the object that was written; empty if none was.
	UID types.UID
}

// Change is one field of a target before and after. Empty means that it is not there.
type Change struct {
	Field, Old, New string
}

// String returns the change in words.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("%s set to %q", c.Field, c.New)
	case c.New == "":
		return fmt.Sprintf("%s %q removed", c.Field, c.Old)
	}
	return fmt.Sprintf("%s %q → %q", c.Field, c.Old, c.New)
}

// Decision is an outcome and the patch that brings it about. An empty patch
// means that there is nothing to do.
type Decision struct {
	Outcome
	Patch []Operation
	// Slots are those in which the target holds the request, if it does.
	Slots []string
}

// Operation is one step of a JSON patch (RFC 6902): "test", "add", "replace" or "remove".
//
// A test for null passes where the member does not exist; RFC 6902 leaves that
// open, and the kube-apiserver's library (gopkg.in/evanphx/json-patch.v4) does
// so. It compares bytes, so patches must be encoded by json.Marshal, which
// escapes strings just as the kube-apiserver encodes its objects.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`

	// probe is set on the steps that together test how long a list is; they leave it as it is.
	probe bool
	// uncertain is set on a test of what the cache can't tell for sure.
	uncertain bool
}

// isTest reports whether the operation only tests.
func (o Operation) isTest() bool { return o.Op == "test" || o.probe }

const annotationsPath = "/metadata/annotations"

// patchBuilder collects a decision: what it relies on, and what it changes.
//
// What a rule reads it reads through the draft (only, sources, images), which makes
// the decision depend on it: the object may come from a cache that is behind.
type patchBuilder struct {
	annotations  map[string]string
	tests, edits []Operation
	// tested has the path of each test.
	tested  map[string]bool
	changes []Change
	slots   []string
}

// newPatchBuilder starts a decision about an object that has these annotations.
func newPatchBuilder(annotations map[string]string) *patchBuilder {
	b := &patchBuilder{annotations: annotations, tested: map[string]bool{}}
	if annotations == nil {
		b.test(annotationsPath, nil)
		b.add(annotationsPath, map[string]string{})
	}
	return b
}

// test makes the decision depend on a value, which is as it was read.
func (b *patchBuilder) test(path string, value any) {
	b.addTest(Operation{Op: "test", Path: path, Value: value})
}

func (b *patchBuilder) addTest(test Operation) {
	if !b.tested[test.Path] {
		b.tested[test.Path] = true
		b.tests = append(b.tests, test)
	}
}

func (b *patchBuilder) add(path string, value any) {
	b.edits = append(b.edits, Operation{Op: "add", Path: path, Value: value})
}

// orNull is what to test for where our types can't tell an empty string from none.
func orNull(value string) any {
	if value == "" {
		return nil
	}
	return value
}

// testAnnotation makes the decision depend on an annotation being as it was read.
func (b *patchBuilder) testAnnotation(key string) {
	if b.annotations == nil {
		return // tested as a whole
	}
	if value, ok := b.annotations[key]; ok {
		b.test(annotationPath(key), value)
	} else {
		b.test(annotationPath(key), nil)
	}
}

// annotate sets an annotation.
func (b *patchBuilder) annotate(key, value string) {
	b.testAnnotation(key)
	if old, ok := b.annotations[key]; !ok || old != value {
		b.add(annotationPath(key), value)
	}
}

// annotateChange sets an annotation that carries the request, or removes it if
// the value is empty.
func (b *patchBuilder) annotateChange(key, value string) {
	old, present := b.annotations[key]
	if old != value {
		b.changes = append(b.changes, Change{Field: key, Old: old, New: value})
	}
	if value != "" {
		b.annotate(key, value)
		return
	}
	b.testAnnotation(key)
	if present {
		b.edits = append(b.edits, Operation{Op: "remove", Path: annotationPath(key)})
	}
}

// build is what the draft comes to. All tests come before the first edit.
func (b *patchBuilder) build(previous string, notes ...string) Decision {
	messages := make([]string, 0, len(b.changes)+len(notes))
	for _, change := range b.changes {
		messages = append(messages, change.String())
	}
	return Decision{
		Outcome: Outcome{
			Changes:  b.changes,
			Previous: previous,
			Held:     true,
			Reason:   ReasonRequested,
			Message:  joinMessage(append(messages, notes...)),
		},
		Patch: append(b.tests, b.edits...),
		Slots: b.slots,
	}
}

// unchanged is the decision about a target that holds the request already.
func unchanged(key, ref string, notes ...string) Decision {
	message := fmt.Sprintf("%s is %q already", key, ref)
	return Decision{Outcome: Outcome{
		Previous: ref,
		Held:     true,
		Reason:   ReasonAlreadyRequested,
		Message:  joinMessage(append([]string{message}, notes...)),
	}}
}

// notHeld is the decision about a target that stays as it is without holding
// the request.
func notHeld(previous, reason string, notes ...string) Decision {
	return Decision{Outcome: Outcome{Previous: previous, Reason: reason, Message: joinMessage(notes)}}
}

// notFollowed is the decision about a target that does not follow what was
// pushed, or of which that can't be told.
func notFollowed(previous string, problem error) Decision {
	if problem != nil {
		return notHeld(previous, imageupdate.ReasonInvalidConfiguration, problem.Error())
	}
	return notHeld(previous, ReasonNotFollowed, "it does not follow what was pushed, or holds a higher version")
}

// maxMessageBytes bounds a message. It repeats what owners wrote, which may be as
// large as etcd allows, and is stored with those of all other targets of a delivery.
const maxMessageBytes = 1024

// joinMessage joins what there is to say, and cuts it short if that is too much.
func joinMessage(parts []string) string {
	nonEmpty := parts[:0]
	for _, part := range parts {
		if part != "" {
			nonEmpty = append(nonEmpty, part)
		}
	}
	message := strings.Join(nonEmpty, "; ")
	if len(message) <= maxMessageBytes {
		return message
	}
	const ellipsis = "…"
	return strings.ToValidUTF8(message[:maxMessageBytes-len(ellipsis)], "") + ellipsis
}

// annotationPath is the JSON pointer (RFC 6901) of an annotation.
func annotationPath(key string) string {
	return annotationsPath + "/" + pointerEscaper.Replace(key)
}

// pointerEscaper and pointerUnescaper escape and unescape a part of a JSON pointer.
var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)
