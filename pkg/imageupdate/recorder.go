// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// keyRecorder records the keys that were looked up, including absent ones. A nil keyRecorder records nothing.
type keyRecorder struct{ recorded []string }

func (r *keyRecorder) record(key string) {
	if r != nil && !slices.Contains(r.recorded, key) {
		r.recorded = append(r.recorded, key)
	}
}

// child returns a new recorder, or nil if r is nil.
func (r *keyRecorder) child() *keyRecorder {
	if r == nil {
		return nil
	}
	return &keyRecorder{}
}

func (r *keyRecorder) keys() []string {
	if r == nil {
		return nil
	}
	return r.recorded
}

// recordingLabels are labels that record whether any of them is looked up.
type recordingLabels struct {
	labels.Set
	read *bool
}

// Has implements labels.Labels.
func (l recordingLabels) Has(label string) bool {
	*l.read = true
	return l.Set.Has(label)
}

// Get implements labels.Labels.
func (l recordingLabels) Get(label string) string {
	*l.read = true
	return l.Set.Get(label)
}

// Lookup implements labels.Labels.
func (l recordingLabels) Lookup(label string) (value string, exists bool) {
	*l.read = true
	return l.Set.Lookup(label)
}
