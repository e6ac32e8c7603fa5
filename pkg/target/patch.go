// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postern.dev/postern/pkg/imageupdate"
	"postern.dev/postern/pkg/text"
)

// operation is one step of a JSON patch (RFC 6902): "test", "add", "replace" or "remove".
//
// A test for null passes if the member does not exist. RFC 6902 leaves that open; the kube-apiserver's library
// (gopkg.in/evanphx/json-patch.v4) does so. It compares bytes, so patches must be encoded by json.Marshal, which
// escapes strings just as the kube-apiserver does.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`

	// probe is set on the steps that together test the length of a list and leave it unchanged.
	probe bool
	// uncertain is set on a test of a value for which the cache is not conclusive.
	uncertain bool
}

// isTest reports whether the operation only tests.
func (o operation) isTest() bool { return o.Op == "test" || o.probe }

// decision is the result of a request and the patch for it. The patch is empty if nothing has to change.
type decision struct {
	Result
	Patch []operation
	// Slots are the slots in which the target holds the request, if it does.
	Slots []string
	// Fields are the fields that hold the request after the patch.
	Fields []heldField
}

// patchBuilder builds the decision on a request: its tests and its edits. Rules read the object through it
// (readAnnotations, readSources, readImages), which adds a test for each value: the object may come from a cache that
// is behind.
type patchBuilder struct {
	*planState
	request     Request
	annotations map[string]string
	// previous is the ref that is in effect.
	previous     string
	tests, edits []operation
	// tested has the path of each test.
	tested  map[string]bool
	changes []Change
	slots   []string
	// fields are the fields that will hold the request.
	fields []heldField
	// awaited is the commit that the status of the target should show because of the request; see watermark.
	awaited string
	// wrote is the value that a field gets for the request, and replaced what it, or what stood for it, had before; see
	// writtenRef.
	wrote    string
	replaced []string
	// isReset is set if the annotations of the target are reset by a controller, watermarks included.
	isReset bool
}

// newPatchBuilder starts a decision about an object with these annotations.
func newPatchBuilder(annotations map[string]string, r Request, s *planState) *patchBuilder {
	b := &patchBuilder{planState: s, request: r, annotations: annotations, tested: map[string]bool{}}
	if annotations == nil {
		b.test(annotationsPath, nil)
		b.add(annotationsPath, map[string]string{})
	}
	return b
}

// test makes the decision depend on a value as it was read.
func (b *patchBuilder) test(path string, value any) {
	b.addTest(operation{Op: "test", Path: path, Value: value})
}

func (b *patchBuilder) addTest(test operation) {
	if !b.tested[test.Path] {
		b.tested[test.Path] = true
		b.tests = append(b.tests, test)
	}
}

func (b *patchBuilder) add(path string, value any) {
	b.edits = append(b.edits, operation{Op: "add", Path: path, Value: value})
}

// holds notes that a field will hold a value.
func (b *patchBuilder) holds(name, path string, value any) {
	b.fields = append(b.fields, heldField{Name: name, Path: path, Value: decoded(value)})
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

// readAnnotations returns the annotations with the given keys, and makes the decision depend on each, present or
// absent.
func (b *patchBuilder) readAnnotations(keys ...string) map[string]string {
	kept := map[string]string{}
	for _, key := range keys {
		b.testAnnotation(key)
		if value, ok := b.annotations[key]; ok {
			kept[key] = value
		}
	}
	return kept
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
		b.edits = append(b.edits, operation{Op: "remove", Path: annotationPath(key)})
	}
}

// isNews reports whether a request for the ref that the target already holds is written all the same: it reports
// another commit than the held one, or is made again on purpose. A request that is repeated after it was written is no
// news.
func (b *patchBuilder) isNews(slot, heldRevision string) bool {
	return !b.isRecorded(slot) &&
		(b.request.Override || b.request.Revision != "" && b.request.Revision != heldRevision)
}

// build returns the decision to make the edits. All tests come before the first edit.
func (b *patchBuilder) build(notes ...string) decision {
	messages := make([]string, 0, len(b.changes)+len(notes))
	for _, change := range b.changes {
		messages = append(messages, change.String())
	}
	d := b.conclude(ReasonRequested, append(messages, notes...)...)
	d.Held, d.Changes, d.Patch, d.Slots = true, b.changes, append(b.tests, b.edits...), b.slots
	d.Fields = b.fields
	return d
}

// unchanged is the decision about a target whose field key already holds the requested ref, in some slots.
func (b *patchBuilder) unchanged(key, ref string, slots []string, notes ...string) decision {
	message := fmt.Sprintf("%s is %q already", key, ref)
	d := b.conclude(ReasonAlreadyRequested, append([]string{message}, notes...)...)
	d.Held, d.Previous = true, ref
	return b.withWatermark(d, key, slots)
}

// conclude returns a decision that changes nothing. The target does not hold the request.
func (b *patchBuilder) conclude(reason string, notes ...string) decision {
	return decision{Result: Result{Previous: b.previous, Reason: reason, Message: joinMessage(notes)}}
}

// notFollowed is the decision about a target that does not follow a push, or whose configuration is invalid.
func (b *patchBuilder) notFollowed(problem error) decision {
	if problem != nil {
		return b.conclude(imageupdate.ReasonInvalidConfiguration, problem.Error())
	}
	return b.conclude(ReasonNotFollowed, "it does not follow the pushed ref, or holds a higher version")
}

// refusePullRequest is the decision about a pull request for a target that holds a ref.
func (b *patchBuilder) refusePullRequest() decision {
	return b.conclude(ReasonNotApplicable, "a pull request asks for no ref: it only refreshes ApplicationSets")
}

// superseded is the decision about a request that another one replaces.
func (b *patchBuilder) superseded(message string) *decision {
	d := b.conclude(ReasonSuperseded, message)
	return &d
}

// maxMessageBytes bounds a message. It quotes values of owners, which may be as large as etcd allows, and is stored
// with the messages of all other targets of a delivery.
const maxMessageBytes = 1024

// joinMessage joins the parts that are not empty, and truncates the message if it is too long.
func joinMessage(parts []string) string {
	parts = slices.DeleteFunc(slices.Clone(parts), func(part string) bool { return part == "" })
	return text.Truncate(strings.Join(parts, "; "), maxMessageBytes)
}

// orNull returns the value to test for a string whose type does not distinguish empty from absent.
func orNull(value string) any {
	if value == "" {
		return nil
	}
	return value
}

// errNullItem marks a list that can't be tested: the kube-apiserver's library panics when it compares null items.
var errNullItem = errors.New("a list tested by the patch contains null")

const annotationsPath = "/metadata/annotations"

// annotationPath returns the JSON pointer (RFC 6901) of an annotation.
func annotationPath(key string) string {
	return annotationsPath + "/" + pointerEscaper.Replace(key)
}

// pointerEscaper and pointerUnescaper escape and unescape a segment of a JSON pointer.
var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// lookup returns the value at a JSON pointer. If a segment is absent it cuts the pointer off after it, and returns nil:
// without its parent a member can't be tested to be absent.
func lookup(value any, pointer string) (existing string, _ any) {
	for end := 0; end < len(pointer) && value != nil; {
		segment, _, _ := strings.Cut(pointer[end+1:], "/")
		end += 1 + len(segment)
		existing = pointer[:end]
		switch container := value.(type) {
		case map[string]any:
			value = container[pointerUnescaper.Replace(segment)]
		case []any:
			value = nil
			if i, err := strconv.Atoi(segment); err == nil && i >= 0 && i < len(container) {
				value = container[i]
			}
		default:
			value = nil
		}
	}
	return existing, value
}
