// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"reflect"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// List is a list in a source that holds overrides: the member of the source that
// holds the list, and the list in there.
type List string

// The lists there are.
const (
	// ListKustomizeImages has strings as items.
	ListKustomizeImages List = "kustomize.images"
	// ListHelmParameters has the API's HelmParameter as items.
	ListHelmParameters List = "helm.parameters"
	// ListPluginEnv has the API's EnvEntry as items.
	ListPluginEnv List = "plugin.env"
)

// Parent is the member of the source that holds the list.
func (l List) Parent() string {
	parent, _, _ := strings.Cut(string(l), ".")
	return parent
}

// Name is the list in its parent.
func (l List) Name() string {
	_, name, _ := strings.Cut(string(l), ".")
	return name
}

// Override is what to write to one list of one source of an Application.
type Override struct {
	Source Source
	List   List
	// ParentMissing is set if the source has no member List.Parent().
	ParentMissing bool
	// Before is the list as it was read, of the type that its items are of; nil
	// within if there is none. It is what a patch that appends must test for, or
	// two that run together append twice.
	Before any
	// After is the list as it is to be.
	After any
	// Changes are the single changes from one to the other.
	Changes []ListChange
}

// ListChange is one change of a list.
type ListChange struct {
	// Index is where the entry is in the list, or will be: one at or beyond the end
	// of the list as it was read is appended.
	Index int
	// Old is the entry as it was read; nil if it is appended.
	Old any
	// New is the entry to write.
	New any
}

// Path is the JSON pointer of the list.
func (o Override) Path() string {
	return o.Source.Path + "/" + o.List.Parent() + "/" + o.List.Name()
}

// Field is the list as people write it.
func (o Override) Field() string {
	return o.Source.Field + "." + string(o.List)
}

// diffOverrides compares the sources as they were read with what they are to be.
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

// diffLists lists the changes between two states of a list, which never loses
// entries or moves them.
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
