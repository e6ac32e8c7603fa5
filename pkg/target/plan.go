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
	"strings"
	"time"

	"postern.dev/postern/pkg/imageupdate"
)

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
	// released is set to decide as if neither the target nor the deliveries were held.
	released bool
	// cached is set if the target is from the cache, which has no managedFields.
	cached bool
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
	state.cached = v.document == nil
	combined, obj := combinedPatch{tested: map[string]bool{}, edited: map[string]bool{}}, v.obj
	for i, r := range requests {
		if err := ctx.Err(); err != nil {
			return plan{}, err
		}
		// Other deliveries pass through many goroutines, each of which would wait for the end of a long plan.
		goruntime.Gosched()
		d := v.kind.decide(obj, r, &state)
		isUncertain := func(o operation) bool { return o.uncertain }
		// A repeat that changes nothing needs no certainty: the sender may send it once more.
		needsLive := len(d.Changes) == 0 && !r.Again || slices.ContainsFunc(d.Patch, isUncertain)
		if v.document == nil && needsLive {
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
