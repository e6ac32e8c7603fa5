// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lastWrite returns when a field manager last wrote an object; zero if it does not own any field.
func lastWrite(managedFields []metav1.ManagedFieldsEntry, manager string) (last time.Time) {
	for _, entry := range managedFields {
		if entry.Manager == manager && entry.Time != nil && entry.Time.After(last) {
			last = entry.Time.Time
		}
	}
	return last
}

// maxManagers bounds the entries of managedFields that are read.
const maxManagers = 64

// manager is an entry of managedFields, with the fields that it owns; nil if they can't be read.
type manager struct {
	metav1.ManagedFieldsEntry
	fields map[string]any
}

// managersOf returns the entries of managedFields.
func managersOf(managedFields []metav1.ManagedFieldsEntry) []manager {
	managers := make([]manager, min(len(managedFields), maxManagers))
	for i := range managers {
		entry := managedFields[i]
		managers[i].ManagedFieldsEntry = entry
		if entry.FieldsV1 != nil {
			_ = json.Unmarshal(entry.FieldsV1.GetRawBytes(), &managers[i].fields)
		}
	}
	return managers
}

// takerOf returns the field manager that changed fields of a target after Postern had written them, or nil if
// managedFields does not show it. It names the owner of a changed field. A client that only removes fields owns none of
// them; then it is the one that has written other fields since, or that generates the object. Clients that write only
// the status are not meant.
func (o *observedMeta) takerOf(lost []heldField, written time.Time) *manager {
	var since, generator *manager
	managers := o.managers()
	for i := range managers {
		m := &managers[i]
		if slices.ContainsFunc(lost, func(f heldField) bool { return ownsField(m.fields, f.Path) }) {
			return m
		}
		if m.Manager == fieldManager || m.Subresource != "" {
			continue
		}
		if generatorOf(o) != "" && ownsField(m.fields, "/metadata/ownerReferences") {
			generator = m
		}
		if wroteSince := m.Time != nil && !m.Time.Time.Before(written); !wroteSince ||
			!ownsField(m.fields, "/spec") && !ownsField(m.fields, annotationsPath) {
			continue
		}
		if since == nil || m.Time.After(since.Time.Time) {
			since = m
		}
	}
	if generator != nil {
		return generator
	}
	return since
}

// ownsField reports whether fields, as of FieldsV1, include the one at a JSON pointer, or the list that it is an item
// of.
func ownsField(fields map[string]any, pointer string) bool {
	for segment := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		member, ok := fields["f:"+pointerUnescaper.Replace(segment)].(map[string]any)
		if !ok {
			_, isIndex := strconv.Atoi(segment)
			return isIndex == nil
		}
		fields = member
	}
	return true
}
