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

// appSelector is a reference of an ImageUpdater object that selects Applications.
type appSelector struct {
	updater *iuv1alpha1.ImageUpdater
	ref     *iuv1alpha1.ApplicationRef
	// index is the index of ref in the object.
	index int
	// labels selects the Application's labels.
	labels      labels.Selector
	specificity int
}

// matchingSelectors returns the references that select the Application, most specific first. Ties are broken by object
// name, then by the order in the object, so that every replica chooses the same reference.
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

func (s *appSelector) matches(name string, appLabels labels.Labels) bool {
	matched, err := path.Match(s.ref.NamePattern, name)
	return err == nil && matched && s.labels.Matches(appLabels)
}

// specificity returns the same score as Image Updater, which documents it in part (docs/configuration/applications.md):
// a name without wildcards beats everything, labels beat patterns, more labels beat fewer, then more literal characters
// beat fewer.
func specificity(ref *iuv1alpha1.ApplicationRef) int {
	const exact, labeled, perLabel = 1_000_000, 10_000, 100

	score := countLiterals(ref.NamePattern)
	if !strings.ContainsAny(ref.NamePattern, "*?[]") {
		score += exact
	}
	if selectors := ref.LabelSelectors; selectors != nil {
		score += labeled + perLabel*(len(selectors.MatchLabels)+len(selectors.MatchExpressions))
	}
	return score
}

// countLiterals counts the literal characters of a pattern.
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
