// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"
	"strings"
)

// combinedPatch merges the patches of consecutive decisions into one patch, which tests everything that was read and
// then edits. The result of an edit is not tested by later decisions: the edit's own decision tested what was there
// before.
type combinedPatch struct {
	tests, edits []Operation
	// tested has the tests by operation and path, edited has the edited paths.
	tested, edited map[string]bool
}

func newCombinedPatch() *combinedPatch {
	return &combinedPatch{tested: map[string]bool{}, edited: map[string]bool{}}
}

func (s *combinedPatch) add(patch []Operation) {
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

// patch returns the patch. If document is not nil the tests are exact for it.
func (s *combinedPatch) patch(document []byte) (patch []Operation, err error) {
	tests := s.tests
	if document != nil && len(tests) > 0 {
		if tests, err = exactTests(tests, document); err != nil {
			return nil, err
		}
	}
	return slices.Concat(tests, s.compactEdits()), nil
}

// compactEdits drops edits that set an annotation or replace a list item, if a later edit sets or replaces it again.
func (s *combinedPatch) compactEdits() []Operation {
	set := map[string]bool{}
	var kept []Operation
	for _, o := range slices.Backward(s.edits) {
		again := set[o.Path]
		set[o.Path] = o.Op == "replace" || o.Op == "add" && strings.HasPrefix(o.Path, annotationsPath+"/")
		if !again || !set[o.Path] {
			kept = append(kept, o)
		}
	}
	slices.Reverse(kept)
	return kept
}
