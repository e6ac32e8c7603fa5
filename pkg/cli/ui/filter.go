// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// phases are all phases, in the order in which they are shown.
var phases = []v1alpha1.DeliveryPhase{
	v1alpha1.DeliveryApplied, v1alpha1.DeliveryPending, v1alpha1.DeliveryHeld, v1alpha1.DeliverySuperseded,
	v1alpha1.DeliveryIgnored, v1alpha1.DeliveryFailed,
}

// filter selects records. Empty fields select all.
type filter struct {
	// Target is a part of the kind and name of a target, such as application/shop.
	Target string
	Source string
	Phase  v1alpha1.DeliveryPhase
}

func filterOf(values url.Values) filter {
	f := filter{
		Target: strings.ToLower(strings.TrimSpace(values.Get("target"))), Source: values.Get("source"),
	}
	if phase := v1alpha1.DeliveryPhase(values.Get("phase")); slices.Contains(phases, phase) {
		f.Phase = phase
	}
	return f
}

// matchesApartFromPhase reports whether a record has the target and the source.
func (f filter) matchesApartFromPhase(r *record) bool {
	if f.Source != "" && r.Source != f.Source {
		return false
	}
	hasIt := func(target string) bool { return strings.Contains(target, f.Target) }
	return f.Target == "" || slices.ContainsFunc(r.Targets, hasIt)
}

func (f filter) matches(r *record) bool {
	return (f.Phase == "" || r.Phase == f.Phase) && f.matchesApartFromPhase(r)
}

// Link returns the link to a page with these filters.
func (f filter) Link(page, namespace string, phase v1alpha1.DeliveryPhase, number int) string {
	n := ""
	if number > 1 {
		n = strconv.Itoa(number)
	}
	return link(page, "namespace", namespace, "target", f.Target, "source", f.Source, "phase", string(phase), "page", n)
}

// phaseCount is how many records have a phase; "" stands for all.
type phaseCount struct {
	Phase v1alpha1.DeliveryPhase
	Count int
}

// countPhases counts the records by phase, in the order of phases, and all of them first.
func countPhases(records []*record) []phaseCount {
	counts := []phaseCount{{Count: len(records)}}
	for _, phase := range phases {
		n := 0
		for _, r := range records {
			if r.Phase == phase {
				n++
			}
		}
		counts = append(counts, phaseCount{phase, n})
	}
	return counts
}

// sourcesOf returns the types of sender of the records, sorted.
func sourcesOf(records []*record) []string {
	seen := map[string]bool{}
	var sources []string
	for _, r := range records {
		if !seen[r.Source] && r.Source != "" {
			seen[r.Source] = true
			sources = append(sources, r.Source)
		}
	}
	slices.Sort(sources)
	return sources
}
