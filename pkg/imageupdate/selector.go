// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
)

// appSelector is a part of an ImageUpdater object that selects Applications.
type appSelector struct {
	updater *iuv1alpha1.ImageUpdater
	ref     *iuv1alpha1.ApplicationRef
	// index is the place of ref in the object.
	index int
	// labels must match the Application's.
	labels      labels.Selector
	specificity int
}

// matchingSelectors lists the references that select an Application, the most
// specific first. Among equals it is the name of the object that decides, then
// the order within it, so that every replica chooses the same.
func (f *configFinder) matchingSelectors() []*appSelector {
	appLabels := recordingLabels{f.app.Labels, &f.labelsRead}
	var found []*appSelector
	for _, u := range f.updaters {
		if u.object.Namespace != f.app.Namespace {
			continue
		}
		found = append(found, u.byName[f.app.Name]...)
		for _, s := range u.others {
			if s.matches(f.app.Name, appLabels) {
				found = append(found, s)
			}
		}
	}
	slices.SortFunc(found, func(a, b *appSelector) int {
		return cmp.Or(
			cmp.Compare(b.specificity, a.specificity),
			cmp.Compare(a.updater.Name, b.updater.Name),
			cmp.Compare(a.index, b.index))
	})
	return found
}

// matches reports whether an Application is selected.
func (s *appSelector) matches(name string, appLabels labels.Labels) bool {
	matched, err := path.Match(s.ref.NamePattern, name)
	return err == nil && matched && s.labels.Matches(appLabels)
}

// specificity scores a reference just as Image Updater does, whose documentation
// (docs/configuration/applications.md) gives part of it: a name without wildcards
// beats everything, labels beat patterns, more labels beat fewer, and then the
// number of literal characters counts.
func specificity(ref *iuv1alpha1.ApplicationRef) int {
	const exact, labelled, perLabel = 1_000_000, 10_000, 100

	score := countLiterals(ref.NamePattern)
	if !strings.ContainsAny(ref.NamePattern, "*?[]") {
		score += exact
	}
	if selectors := ref.LabelSelectors; selectors != nil {
		score += labelled + perLabel*(len(selectors.MatchLabels)+len(selectors.MatchExpressions))
	}
	return score
}

// countLiterals counts the characters of a pattern that stand for themselves.
func countLiterals(pattern string) int {
	n := 0
	for pattern != "" {
		if end := strings.IndexByte(pattern, ']'); pattern[0] == '[' && end >= 0 {
			pattern = pattern[end+1:]
			continue
		}
		if pattern[0] != '*' && pattern[0] != '?' {
			n++
		}
		pattern = pattern[1:]
	}
	return n
}
