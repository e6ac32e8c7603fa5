// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"time"

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

// build returns the decision to make the edits. All tests come before the first edit.
func (b *patchBuilder) build(notes ...string) decision {
	messages := make([]string, 0, len(b.changes)+len(notes))
	for _, change := range b.changes {
		messages = append(messages, change.String())
	}
	d := b.conclude(ReasonRequested, append(messages, notes...)...)
	d.Held, d.Changes, d.Patch, d.Slots = true, b.changes, append(b.tests, b.edits...), b.slots
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

// snapshot is a target as it was read.
type snapshot struct {
	kind targetKind
	obj  object
	// document is the target as received from the API server; nil if it is from the cache, which keeps only parts.
	document []byte
}

// planState is what decisions depend on apart from the target and the request. Each write, and each plan in it, has its
// own.
type planState struct {
	// maxReceived is the latest plausible receipt; zero if all are plausible.
	maxReceived time.Time
	// held are the last requests that the target was found to hold, also if it does not record them.
	held watermarkSet
	// shared is whether other processes write to the target.
	shared bool
	// updaters are the ImageUpdater objects that may configure the target.
	updaters []*imageupdate.Updater

	// configs caches imageConfig by the name of the image: no decision changes the configuration.
	configs map[string]imageupdate.Config
	// recorded caches the watermarks in the annotation recordedIn, which the owner may make large.
	recorded   watermarkSet
	recordedIn string
}

// plan is the decisions on requests for one target, and one patch for all of them.
type plan struct {
	decisions []decision
	patch     []operation
}

// errCacheUncertain is returned if a plan on the cache, which lags behind, does not suffice: only a live read can show
// that there is nothing to do.
var errCacheUncertain = errors.New("the cache is not conclusive")

// planFor decides on requests in order, each on the result of the ones before it, and merges the patches. It returns
// the error of ctx if ctx ends before the last request.
func planFor(ctx context.Context, v snapshot, requests []Request, state planState) (plan, error) {
	var p plan
	combined, obj := combinedPatch{tested: map[string]bool{}, edited: map[string]bool{}}, v.obj
	for i, r := range requests {
		if err := ctx.Err(); err != nil {
			return plan{}, err
		}
		// Other deliveries pass through many goroutines, each of which would wait for the end of a long plan.
		goruntime.Gosched()
		d := v.kind.decide(obj, r, &state)
		isUncertain := func(o operation) bool { return o.uncertain }
		if v.document == nil && (len(d.Changes) == 0 || slices.ContainsFunc(d.Patch, isUncertain)) {
			return plan{}, errCacheUncertain
		}
		p.decisions = append(p.decisions, d)
		combined.add(d.Patch)
		if last := i == len(requests)-1; last || len(d.Patch) == 0 {
			continue
		}
		if obj == v.obj {
			obj = workingCopy(obj)
		}
		if err := applyEdits(obj, d.Patch); err != nil {
			return plan{}, err
		}
	}
	var err error
	p.patch, err = combined.patch(v.document)
	return p, err
}

// combinedPatch merges the patches of consecutive decisions into one patch, which tests everything that was read and
// then edits. The result of an edit is not tested by later decisions: the edit's own decision tested what was there
// before.
type combinedPatch struct {
	tests, edits []operation
	// tested has the tests by operation and path, edited has the edited paths.
	tested, edited map[string]bool
}

func (s *combinedPatch) add(patch []operation) {
	for _, o := range patch {
		id := o.Op + o.Path
		if !o.isTest() || s.tested[id] || s.isEdited(o.Path) {
			continue
		}
		s.tested[id] = true
		s.tests = append(s.tests, o)
	}
	for _, o := range patch {
		if !o.isTest() {
			s.edited[o.Path] = true
			s.edits = append(s.edits, o)
		}
	}
}

// isEdited reports whether an edit has set the value at a path or at a parent of it.
func (s *combinedPatch) isEdited(path string) bool {
	for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '/') {
		if s.edited[path[:end]] {
			return true
		}
	}
	return false
}

// patch returns the patch. If document is not nil the tests are exact for it. Edits that set an annotation or replace a
// list item are dropped if a later edit sets or replaces it again.
func (s *combinedPatch) patch(document []byte) (patch []operation, err error) {
	tests := s.tests
	if document != nil && len(tests) > 0 {
		if tests, err = exactTests(tests, document); err != nil {
			return nil, err
		}
	}
	set := map[string]bool{}
	var edits []operation
	for _, o := range slices.Backward(s.edits) {
		again := set[o.Path]
		set[o.Path] = o.Op == "replace" || o.Op == "add" && strings.HasPrefix(o.Path, annotationsPath+"/")
		if !again || !set[o.Path] {
			edits = append(edits, o)
		}
	}
	slices.Reverse(edits)
	return slices.Concat(tests, edits), nil
}

// errNullItem marks a list that can't be tested: the kube-apiserver's library panics when it compares null items.
var errNullItem = errors.New("a list tested by the patch contains null")

// exactTests returns a patch whose tests are for the exact values in a document. Our types are parts of the real ones,
// and some do not distinguish null, empty and absent. A patch that tests for our values, of a list in particular, could
// be rejected forever.
func exactTests(patch []operation, document []byte) ([]operation, error) {
	var read any
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber() // numbers must keep their spelling
	if err := decoder.Decode(&read); err != nil {
		return nil, fmt.Errorf("could not decode the object: %w", err)
	}
	exact := slices.Clone(patch)
	for i, o := range exact {
		if o.Op != "test" || o.probe {
			continue
		}
		path, value := lookup(read, o.Path)
		if list, ok := value.([]any); ok && slices.Contains(list, nil) {
			return nil, fmt.Errorf("%w: %s", errNullItem, o.Path)
		}
		exact[i].Path, exact[i].Value = path, value
	}
	return exact, nil
}

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
