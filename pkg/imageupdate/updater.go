// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
)

// Updater is an ImageUpdater object with parsed patterns and selectors, shared by all Applications. It is safe for
// concurrent use.
type Updater struct {
	object *iuv1alpha1.ImageUpdater
	// byName are the references that are plain names. others must be matched with every name. Malformed references are
	// in neither and select nothing.
	byName map[string][]*appSelector
	others []*appSelector
	// terms is the number of labels and values in the selectors.
	terms int
	// problem is why the object cannot be used, or empty.
	problem string
}

// NewUpdater parses an object, which must not be modified afterwards. It stops at the limits; ConfigFor then reports
// the problem.
func NewUpdater(object *iuv1alpha1.ImageUpdater) *Updater {
	u := &Updater{object: object, byName: map[string][]*appSelector{}}
	for i := range object.Spec.ApplicationRefs {
		if i == maxReferences || len(u.others) > maxSelectors || u.terms > maxTerms {
			break // ConfigFor also counts the references of all objects
		}
		u.add(i, &object.Spec.ApplicationRefs[i])
	}
	return u
}

// Object returns the parsed object. It must not be modified.
func (u *Updater) Object() *iuv1alpha1.ImageUpdater { return u.object }

func (u *Updater) add(index int, ref *iuv1alpha1.ApplicationRef) {
	if len(ref.NamePattern) > maxNamePattern {
		u.problem = fmt.Sprintf(
			"ImageUpdater %s has a namePattern of %d bytes, which is too long; at most %d are allowed",
			u.object.Name, len(ref.NamePattern), maxNamePattern)
		return
	}
	u.terms += countTerms(ref.LabelSelectors)
	if _, err := path.Match(ref.NamePattern, ""); err != nil || u.terms > maxTerms {
		return
	}
	s := &appSelector{
		updater: u.object, ref: ref, index: index, labels: labels.Everything(), specificity: specificity(ref),
	}
	if ref.LabelSelectors != nil {
		var err error
		if s.labels, err = metav1.LabelSelectorAsSelector(ref.LabelSelectors); err != nil {
			return
		}
	}
	if ref.LabelSelectors == nil && !strings.ContainsAny(ref.NamePattern, `*?[]\`) {
		u.byName[ref.NamePattern] = append(u.byName[ref.NamePattern], s)
		return
	}
	u.others = append(u.others, s)
}

// countTerms returns the number of labels and values in a selector.
func countTerms(selector *metav1.LabelSelector) int {
	if selector == nil {
		return 0
	}
	terms := len(selector.MatchLabels) + len(selector.MatchExpressions)
	for _, expression := range selector.MatchExpressions {
		terms += len(expression.Values)
	}
	return terms
}

// checkLimits returns why no configuration can be selected from the objects of a namespace, or "". If they exceed the
// limits, an unread reference might be the most specific one.
func checkLimits(namespace string, updaters []*Updater) string {
	references, selecting, terms := 0, 0, 0
	for _, u := range updaters {
		switch {
		case u.object.Namespace != namespace:
			continue
		case u.problem != "":
			return u.problem
		}
		references += len(u.object.Spec.ApplicationRefs)
		selecting += len(u.others)
		terms += u.terms
	}
	const format = "the ImageUpdater objects of the namespace have too many %s; at most %d are allowed"
	switch {
	case references > maxReferences:
		return fmt.Sprintf(format, "applicationRefs", maxReferences)
	case selecting > maxSelectors:
		return fmt.Sprintf(format, "applicationRefs with wildcards or labels", maxSelectors)
	case terms > maxTerms:
		return fmt.Sprintf(format, "labels and values in their selectors", maxTerms)
	}
	return ""
}

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
