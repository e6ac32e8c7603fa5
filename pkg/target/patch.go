// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/pkg/imageupdate"
	"postern.dev/postern/pkg/text"
)

// Reasons of an Outcome. Images also have the reasons of package imageupdate.
const (
	// ReasonRequested: the target did not hold the request before.
	ReasonRequested = "Requested"
	// ReasonAlreadyRequested: the target already held the request; nothing was written.
	ReasonAlreadyRequested = "AlreadyRequested"
	// ReasonNotApplicable: a target of this kind can't hold the request.
	ReasonNotApplicable = "NotApplicable"
	// ReasonNotFollowed: the request did not name the target, and the target does not follow it.
	ReasonNotFollowed = "NotFollowed"
	// ReasonSuperseded: a newer request was, or is, written to the target.
	ReasonSuperseded = "Superseded"
)

// Outcome is the effect, or in a dry run the expected effect, of a request on one target.
type Outcome struct {
	// Changes are the changed fields that contain the request. Fields about it (when, by whom, the refresh) are not
	// listed.
	Changes []Change
	// Previous is the ref that was in effect before, as far as the target shows it.
	Previous string
	// Held is whether the target holds the request in the end. If not, it is unchanged: it does not want the request,
	// or can't hold it.
	Held bool
	// Reason is one of the reasons above or in package imageupdate.
	Reason string
	// Message explains to users what changed, and what did not although they might expect it.
	Message string
	// UID is the UID of the written object; empty if none was written.
	UID types.UID
}

// Change is the value of a field before and after. An empty value means that the field is absent.
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

// Decision is an outcome and the patch that produces it. The patch is empty if nothing has to change.
type Decision struct {
	Outcome
	Patch []Operation
	// Slots are the slots in which the target holds the request, if it does.
	Slots []string
}

// Operation is one step of a JSON patch (RFC 6902): "test", "add", "replace" or "remove".
//
// A test for null passes if the member does not exist. RFC 6902 leaves that open; the kube-apiserver's library
// (gopkg.in/evanphx/json-patch.v4) does so. It compares bytes, so patches must be encoded by json.Marshal, which
// escapes strings just as the kube-apiserver does.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`

	// probe is set on the steps that together test the length of a list and leave it unchanged.
	probe bool
	// uncertain is set on a test of a value for which the cache is not conclusive.
	uncertain bool
}

// isTest reports whether the operation only tests.
func (o Operation) isTest() bool { return o.Op == "test" || o.probe }

const annotationsPath = "/metadata/annotations"

// patchBuilder builds a decision: its tests and its edits. Rules read the object through it (readAnnotations,
// readSources, readImages), which adds a test for each value: the object may come from a cache that is behind.
type patchBuilder struct {
	annotations  map[string]string
	tests, edits []Operation
	// tested has the path of each test.
	tested  map[string]bool
	changes []Change
	slots   []string
}

// newPatchBuilder starts a decision about an object with these annotations.
func newPatchBuilder(annotations map[string]string) *patchBuilder {
	b := &patchBuilder{annotations: annotations, tested: map[string]bool{}}
	if annotations == nil {
		b.test(annotationsPath, nil)
		b.add(annotationsPath, map[string]string{})
	}
	return b
}

// test makes the decision depend on a value as it was read.
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

// orNull returns the value to test where our types do not distinguish an empty string from an absent one.
func orNull(value string) any {
	if value == "" {
		return nil
	}
	return value
}

// testAnnotation makes the decision depend on an annotation as it was read.
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

// annotate sets an annotation, and makes the decision depend on its old value.
func (b *patchBuilder) annotate(key, value string) {
	b.testAnnotation(key)
	if old, ok := b.annotations[key]; !ok || old != value {
		b.add(annotationPath(key), value)
	}
}

// annotateChange sets an annotation that contains the request, or removes it if value is empty.
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

// build returns the decision. All tests come before the first edit.
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

// unchanged is the decision about a target that already holds the request.
func unchanged(key, ref string, notes ...string) Decision {
	message := fmt.Sprintf("%s is %q already", key, ref)
	return Decision{Outcome: Outcome{
		Previous: ref,
		Held:     true,
		Reason:   ReasonAlreadyRequested,
		Message:  joinMessage(append([]string{message}, notes...)),
	}}
}

// notHeld is the decision about a target that stays unchanged without holding the request.
func notHeld(previous, reason string, notes ...string) Decision {
	return Decision{Outcome: Outcome{Previous: previous, Reason: reason, Message: joinMessage(notes)}}
}

// notFollowed is the decision about a target that does not follow a push, or whose configuration is invalid.
func notFollowed(previous string, problem error) Decision {
	if problem != nil {
		return notHeld(previous, imageupdate.ReasonInvalidConfiguration, problem.Error())
	}
	return notHeld(previous, ReasonNotFollowed, "it does not follow the pushed ref, or holds a higher version")
}

// maxMessageBytes bounds a message. It quotes values of owners, which may be as large as etcd allows, and is stored
// with the messages of all other targets of a delivery.
const maxMessageBytes = 1024

// joinMessage joins the parts that are not empty, and truncates the message if it is too long.
func joinMessage(parts []string) string {
	nonEmpty := parts[:0]
	for _, part := range parts {
		if part != "" {
			nonEmpty = append(nonEmpty, part)
		}
	}
	return text.Truncate(strings.Join(nonEmpty, "; "), maxMessageBytes)
}

// annotationPath returns the JSON pointer (RFC 6901) of an annotation.
func annotationPath(key string) string {
	return annotationsPath + "/" + pointerEscaper.Replace(key)
}

// pointerEscaper and pointerUnescaper escape and unescape a segment of a JSON pointer.
var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)
