// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// applyOverride sets entries of a list in a source that was read through b. All other entries stay as they are.
func (b *patchBuilder) applyOverride(o imageupdate.Override) {
	switch parent := o.Source.Path + "/" + o.List.Parent(); {
	case o.ParentMissing:
		b.test(parent, nil)
		b.add(parent, map[string]any{o.List.Name(): o.After})
	case isAppend(o.Changes[0]) && o.Changes[0].Index == 0: // to an empty or absent list
		b.test(o.Path(), o.Before)
		b.add(o.Path(), o.After)
	default:
		b.test(o.Path(), o.Before)
		for _, entry := range o.Changes {
			b.applyChange(o.Path(), entry)
		}
	}
	for _, entry := range o.Changes {
		change := Change{Field: o.Field(), Old: describe(entry.Old), New: describe(entry.New)}
		if change.Old != change.New {
			b.changes = append(b.changes, change)
		}
	}
}

func isAppend(entry imageupdate.ListChange) bool { return entry.Old == nil }

func (b *patchBuilder) applyChange(list string, entry imageupdate.ListChange) {
	if isAppend(entry) {
		b.add(list+"/-", entry.New)
		return
	}
	b.edits = append(b.edits, Operation{Op: "replace", Path: fmt.Sprintf("%s/%d", list, entry.Index), Value: entry.New})
}

// describe formats an entry for users; empty if it is absent.
func describe(entry any) string {
	switch entry := entry.(type) {
	case string:
		return entry
	case argov1alpha1.HelmParameter:
		if entry.Value == nil {
			return entry.Name
		}
		return entry.Name + "=" + *entry.Value
	case argov1alpha1.EnvEntry:
		return entry.Name + "=" + entry.Value
	}
	return ""
}
