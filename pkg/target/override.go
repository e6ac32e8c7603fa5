// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// override sets entries of a list in a source, which were read through the draft.
// Every other entry stays as it is.
func (d *draft) override(o imageupdate.Override) {
	switch parent := o.Source.Path + "/" + o.List.Parent(); {
	case o.ParentMissing:
		d.test(parent, nil)
		d.add(parent, map[string]any{o.List.Name(): o.After})
	case isAppend(o.Entries[0]) && o.Entries[0].Index == 0: // to an empty list, or none
		d.test(o.Path(), o.Before)
		d.add(o.Path(), o.After)
	default:
		d.test(o.Path(), o.Before)
		for _, entry := range o.Entries {
			d.setEntry(o.Path(), entry)
		}
	}
	for _, entry := range o.Entries {
		change := Change{Field: o.Field(), Old: describe(entry.Old), New: describe(entry.New)}
		if change.Old != change.New {
			d.changes = append(d.changes, change)
		}
	}
}

func isAppend(entry imageupdate.Entry) bool { return entry.Old == nil }

func (d *draft) setEntry(list string, entry imageupdate.Entry) {
	if isAppend(entry) {
		d.add(list+"/-", entry.New)
		return
	}
	d.edits = append(d.edits, Operation{Op: "replace", Path: fmt.Sprintf("%s/%d", list, entry.Index), Value: entry.New})
}

// describe shows an entry to people; empty if there is none.
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
