// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"
	"strings"
)

// combinedPatch collects the patches of decisions that are made one on another into one patch,
// which tests what was read first and then edits. What an earlier decision leaves need
// not be tested: it tested what it changed.
type combinedPatch struct {
	tests, edits []Operation
	// tested has what is tested, by operation and path, and edited the paths that are.
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

// isEdited reports whether something at a path, or what holds it, was set by an edit.
func (s *combinedPatch) isEdited(path string) bool {
	for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '/') {
		if s.edited[path[:end]] {
			return true
		}
	}
	return false
}

// patch returns the patch, and tests for just what a document holds if there is one.
func (s *combinedPatch) patch(document []byte) (patch []Operation, err error) {
	tests := s.tests
	if document != nil && len(tests) > 0 {
		if tests, err = exactTests(tests, document); err != nil {
			return nil, err
		}
	}
	return slices.Concat(tests, s.compactEdits()), nil
}

// compactEdits leaves out what sets an annotation, or replaces an item of a list, that a later edit sets or replaces again.
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
