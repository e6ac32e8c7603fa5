// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/text"
)

// AnnotationHoldRollbacks is set to "false" by the owner of a target that is not to be held after it was rolled back.
const AnnotationHoldRollbacks = "postern.dev/hold-rollbacks"

// A target was rolled back by hand if a field no longer has what Postern wrote there last, but something older: a lower
// version or, where versions do not decide, what Postern replaced there before. The target itself shows that, so it
// does not matter whether Postern ran at that time. What was removed, or reset by a controller, is not rolled back.

// writtenRef is what Postern wrote to the field of a slot, as the watermark of the slot records it.
type writtenRef struct {
	// Ref is the value that was written last.
	Ref string `json:"ref"`
	// Before are the values that Postern replaced there, the last one at the end.
	Before []string `json:"before,omitempty"`
}

const (
	// maxBefore bounds the earlier values, and maxWrittenBytes the length of each.
	maxBefore       = 3
	maxWrittenBytes = 256
)

// followedBy returns what is recorded after a field got the next value, in place of old ones.
func (w *writtenRef) followedBy(next string, old ...string) *writtenRef {
	if next == "" || len(next) > maxWrittenBytes {
		return nil
	}
	var before []string
	switch {
	case w != nil && w.Ref == next:
		before = slices.Clone(w.Before)
	case w != nil:
		before = append(slices.Clone(w.Before), w.Ref)
	}
	if i := slices.Index(before, next); i >= 0 { // back to an earlier one: what came after it is not older
		before, old = before[:i], nil
	}
	before = slices.DeleteFunc(append(before, old...), func(value string) bool {
		return value == "" || value == next || len(value) > maxWrittenBytes
	})
	before = slices.Compact(before)
	return &writtenRef{Ref: next, Before: before[max(0, len(before)-maxBefore):]}
}

// isOlder reports whether a value is older than the one that was written.
func (w *writtenRef) isOlder(value string) bool {
	if w == nil || value == "" || value == w.Ref {
		return false
	}
	now, err := semver.NewVersion(versionIn(value))
	written, otherErr := semver.NewVersion(versionIn(w.Ref))
	if err == nil && otherErr == nil {
		return nameIn(value) == nameIn(w.Ref) && now.LessThan(written)
	}
	return slices.Contains(w.Before, value)
}

// versionIn returns the version in a value: the tag of an image or the value of a parameter, or the whole value.
func versionIn(value string) string { return value[len(nameIn(value)):] }

// nameIn returns what comes before the version in a value, with its separator.
func nameIn(value string) string {
	return value[:max(strings.LastIndexByte(value, ':'), strings.LastIndexByte(value, '='))+1]
}

// place is a field of a target whose value a request would replace.
type place struct {
	// slots are the slots for which Postern may have written the field.
	slots []string
	// name is the field as users write it, path is the same as a JSON pointer, and value what it has now.
	name, path, value string
}

// checkRolledBack returns the decision about a request for a target that was rolled back by hand: the target is held
// from now on. Otherwise it returns nil. The places must have been tested.
func (b *patchBuilder) checkRolledBack(kind targetKind, obj object, places []place) *decision {
	if b.request.Released || b.request.Received.IsZero() {
		return nil
	}
	recorded := b.watermarks(b.annotations)
	for _, p := range places {
		isRolledBack := func(slot string) bool { return recorded[slot].Wrote.isOlder(p.value) }
		i := slices.IndexFunc(p.slots, isRolledBack)
		if i < 0 || b.readAnnotations(AnnotationHoldRollbacks)[AnnotationHoldRollbacks] == "false" {
			continue
		}
		if b.cached { // a decision without changes is made on a live read, which shows who it was
			d := b.conclude(ReasonRolledBack)
			return &d
		}
		by, at, byHand := handOf(obj, p)
		if !byHand {
			continue
		}
		d := b.hold(kind, obj, p, recorded[p.slots[i]].Wrote.Ref, by, at)
		return &d
	}
	return nil
}

// hold returns the decision to hold a target that was rolled back. It forgets what was written, so that the target is
// not held again once it is released.
func (b *patchBuilder) hold(kind targetKind, obj object, p place, written, by string, at time.Time) decision {
	who := "another client"
	if by != "" {
		who = text.Truncate(by, maxManagerBytes)
	}
	why := fmt.Sprintf("%s: %s set %s from %s back to %s", ReasonRolledBack, who, p.name, text.Quote(written),
		text.Quote(p.value))
	if !at.IsZero() {
		why += " at " + at.UTC().Format(time.RFC3339)
	}
	ws := maps.Clone(b.watermarks(b.annotations))
	for _, slot := range p.slots {
		if m, known := ws[slot]; known {
			m.Wrote = nil
			ws[slot] = m
		}
	}
	held := newPatchBuilder(b.annotations, b.request, b.planState)
	for _, test := range b.tests {
		held.addTest(test)
	}
	held.annotate(AnnotationEventTime, ws.String())
	held.annotate(postern.AnnotationHold, why)
	d := b.conclude(ReasonRolledBack, holdMessage(targetKeyOf(kind, obj), why))
	d.OnHold, d.Patch = true, slices.Concat(held.tests, held.edits)
	return d
}

// maxManagerBytes bounds the name of a field manager in a text.
const maxManagerBytes = 128

// resettingControllers begin the names of the field managers that keep Applications as something else says: the
// controllers of Argo CD, of Image Updater, and of Flux. Argo CD's UI and CLI write as argocd-server.
var resettingControllers = []string{
	"argocd-controller", "argocd-application-controller", "argocd-applicationset-controller", "argocd-image-updater",
	"kustomize-controller", "helm-controller",
}

// handOf returns the field manager that has set a field, and when, as far as managedFields show it. byHand is false if
// it is a controller, or unknown and the object is kept by one.
func handOf(obj object, p place) (by string, at time.Time, byHand bool) {
	for _, m := range managersOf(obj.GetManagedFields()) {
		if m.Subresource != "" || !ownsField(m.fields, p.path) {
			continue
		}
		isController := func(name string) bool { return strings.HasPrefix(m.Manager, name) }
		if m.Manager == fieldManager || slices.ContainsFunc(resettingControllers, isController) {
			return "", time.Time{}, false
		}
		if m.Time != nil {
			at = m.Time.Time
		}
		return m.Manager, at, true
	}
	parent, _ := parentOf(obj)
	return "", time.Time{}, generatorOf(obj) == "" && parent == ""
}
