// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// reads notes which keys were looked up, whether they were there or not. The nil
// pointer notes nothing.
type reads struct{ noted []string }

func (r *reads) note(key string) {
	if r != nil && !slices.Contains(r.noted, key) {
		r.noted = append(r.noted, key)
	}
}

// another returns one that notes if this one does.
func (r *reads) another() *reads {
	if r == nil {
		return nil
	}
	return &reads{}
}

func (r *reads) keys() []string {
	if r == nil {
		return nil
	}
	return r.noted
}

// recordedLabels are labels that note whether a selector looks any of them up.
type recordedLabels struct {
	labels.Set
	looked *bool
}

// Has implements labels.Labels.
func (l recordedLabels) Has(label string) bool {
	*l.looked = true
	return l.Set.Has(label)
}

// Get implements labels.Labels.
func (l recordedLabels) Get(label string) string {
	*l.looked = true
	return l.Set.Get(label)
}

// Lookup implements labels.Labels.
func (l recordedLabels) Lookup(label string) (value string, exists bool) {
	*l.looked = true
	return l.Set.Lookup(label)
}
