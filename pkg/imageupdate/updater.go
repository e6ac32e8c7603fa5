// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"path"
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
