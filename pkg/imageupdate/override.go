// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"reflect"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// List is a list of overrides in a source, as PARENT.NAME: the member of the source, and the list in that member.
type List string

// Lists of overrides.
const (
	// ListKustomizeImages has string items.
	ListKustomizeImages List = "kustomize.images"
	// ListHelmParameters has HelmParameter items.
	ListHelmParameters List = "helm.parameters"
	// ListPluginEnv has EnvEntry items.
	ListPluginEnv List = "plugin.env"
)

// Parent returns the member of the source that contains the list.
func (l List) Parent() string {
	parent, _, _ := strings.Cut(string(l), ".")
	return parent
}

// Name returns the name of the list in its parent.
func (l List) Name() string {
	_, name, _ := strings.Cut(string(l), ".")
	return name
}

// Override is a change to one list of one source of an Application.
type Override struct {
	Source Source
	List   List
	// ParentMissing is set if the source has no member List.Parent().
	ParentMissing bool
	// Before is the list as read, a slice of the list's item type; a nil slice if the list is missing. A patch that
	// appends must test for it; otherwise two concurrent patches append twice.
	Before any
	// After is the list to write.
	After any
	// Changes are the individual changes from Before to After.
	Changes []ListChange
}

// ListChange is one change of a list.
type ListChange struct {
	// Index is the position of the entry. An index at or beyond the end of Before means that the entry is appended.
	Index int
	// Old is the entry as read, or nil if the entry is appended.
	Old any
	// New is the entry to write.
	New any
}

// Path returns the JSON pointer of the list.
func (o Override) Path() string {
	return o.Source.Path + "/" + o.List.Parent() + "/" + o.List.Name()
}

// Field returns the field path of the list, for messages.
func (o Override) Field() string {
	return o.Source.Field + "." + string(o.List)
}

// diffOverrides returns the changes between the sources as read and as planned.
func diffOverrides(before, after []appSource) []Override {
	var found []Override
	for i := range before {
		if !after[i].changed {
			continue
		}
		b, a := before[i].ApplicationSource, after[i].ApplicationSource
		for _, o := range []Override{
			diffLists(ListKustomizeImages, b.Kustomize == nil,
				deref(b.Kustomize).Images, deref(a.Kustomize).Images),
			diffLists(ListHelmParameters, b.Helm == nil,
				deref(b.Helm).Parameters, deref(a.Helm).Parameters),
			diffLists(ListPluginEnv, b.Plugin == nil,
				deref(b.Plugin).Env, deref(a.Plugin).Env),
		} {
			if len(o.Changes) > 0 {
				o.Source = before[i].Source
				found = append(found, o)
			}
		}
	}
	return found
}

// diffLists returns the changes between two states of a list. Entries are never removed or moved.
func diffLists[T string | argov1alpha1.HelmParameter | argov1alpha1.EnvEntry](
	list List, parentMissing bool, before, after []T,
) Override {
	o := Override{List: list, ParentMissing: parentMissing, Before: before, After: after}
	for i, item := range after {
		switch {
		case i >= len(before):
			o.Changes = append(o.Changes, ListChange{Index: i, New: item})
		case !reflect.DeepEqual(before[i], item):
			o.Changes = append(o.Changes, ListChange{Index: i, Old: before[i], New: item})
		}
	}
	return o
}
