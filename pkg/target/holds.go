// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/fairness"
)

const (
	// holdTime is how long a target is watched after it was written. An ApplicationSet resets an Application within a
	// second, and selfHeal within some.
	holdTime = time.Minute
	// maxHolds bounds the watched requests, of about a kilobyte each, and holdSharePercent how many of them may be of
	// one namespace; see fairness.Share. Requests beyond it are not watched.
	maxHolds, holdSharePercent = 8192, 50
	// maxTargetHolds bounds the watched requests of one target, and maxHoldFields the fields of each: every change of
	// the target is compared with all of them, while the changes of other targets wait.
	maxTargetHolds, maxHoldFields = 16, 16
)

// TakenBack says that another client took back, soon after the write, what was requested of a target.
type TakenBack struct {
	Key postern.TargetKey
	UID types.UID
	// Fields are the fields that no longer hold what was written, as users write them.
	Fields []string
	// Manager is the field manager that took it back; empty if managedFields does not show it.
	Manager string
	// At is when the client did so, by managedFields if these show it.
	At time.Time
	// Note says which object may be the cause, and how to keep what is written; empty if that is unknown.
	Note string
}

// heldField is a field of a target with its requested value.
type heldField struct {
	// Name is the field as users write it, Path is the same as a JSON pointer.
	Name, Path string
	// Value is the value of the field, or an item of it if IsList is set.
	Value  any
	IsList bool
	// Instead is the path of a field that stands in for this one while this one is absent, if it has the same value
	// apart from a leading "v".
	Instead string
}

// heldBy reports whether a target holds the requested value.
func (f heldField) heldBy(o *observation) bool {
	if f.IsList {
		return o.itemsAt(f.Path).Has(encoded(f.Value))
	}
	actual := o.valueAt(f.Path)
	if actual == nil && f.Instead != "" {
		return trimV(o.valueAt(f.Instead)) == trimV(f.Value)
	}
	return reflect.DeepEqual(actual, f.Value)
}

// observation is a target as the watch delivers it. It may be large, so each part is read once at most, however many
// requests are compared with it.
type observation struct {
	*observedMeta
	recorded watermarkSet
	document func() any
	// items are the items of lists, encoded, by path.
	items map[string]sets.Set[string]
}

// observedMeta is the metadata of an observed target.
type observedMeta struct {
	metav1.ObjectMeta
	version  uint64
	managers func() []manager
}

// observe returns an observation of a target; nil if its version is unknown.
func observe(obj object) *observation {
	version, err := strconv.ParseUint(obj.GetResourceVersion(), 10, 64)
	meta, ok := obj.GetObjectMeta().(*metav1.ObjectMeta)
	if err != nil || !ok {
		return nil
	}
	managedFields := meta.ManagedFields
	return &observation{
		observedMeta: &observedMeta{
			*meta, version, sync.OnceValue(func() []manager { return managersOf(managedFields) }),
		},
		recorded: parseWatermarks(meta.Annotations),
		document: sync.OnceValue(func() any { return decoded(obj) }),
		items:    map[string]sets.Set[string]{},
	}
}

// valueAt returns the value at a JSON pointer; nil if it does not exist.
func (o *observation) valueAt(path string) (value any) {
	if key, ok := strings.CutPrefix(path, annotationsPath+"/"); ok {
		if text, found := o.Annotations[pointerUnescaper.Replace(key)]; found {
			return text
		}
		return nil
	}
	_, value = lookup(o.document(), path)
	return value
}

// itemsAt returns the encoded items of the list at a JSON pointer.
func (o *observation) itemsAt(path string) sets.Set[string] {
	items, found := o.items[path]
	if !found {
		list, _ := o.valueAt(path).([]any)
		items = make(sets.Set[string], len(list))
		for _, item := range list {
			items.Insert(encoded(item))
		}
		o.items[path] = items
	}
	return items
}

// encoded returns a value in JSON, with the members of objects in order.
func encoded(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

// decoded returns a value as encoding/json decodes it.
func decoded(value any) (decoded any) {
	if encoded, err := json.Marshal(value); err == nil {
		_ = json.Unmarshal(encoded, &decoded)
	}
	return decoded
}

// trimV returns a string without a leading "v", or "" for any other value.
func trimV(value any) string {
	text, _ := value.(string)
	return strings.TrimPrefix(text, "v")
}

// holdList watches what was recently written to targets. It is safe for concurrent use; a nil holdList does nothing.
type holdList struct {
	now      func() time.Time
	capacity *fairness.Counter

	mu    sync.Mutex
	holds map[postern.TargetKey][]*hold
	// queue has the holds in the order in which they end. It also has those that have ended early.
	queue []*hold
}

// hold is a request that a target should hold for some time.
type hold struct {
	key      postern.TargetKey
	slots    []string
	fields   []heldField
	received time.Time
	report   func(TakenBack)
	release  func()
	until    time.Time
	// version is the resource version of the write; zero until the write is answered. uid is the UID of the target, and
	// written the time of the write by the clock of the API server.
	version uint64
	uid     types.UID
	written time.Time
	// early is the target as it was observed before the write was answered, if it no longer held the request, without
	// the fields earlyLost.
	early     *observedMeta
	earlyLost []heldField
}

func newHoldList() *holdList {
	return &holdList{
		now:      time.Now,
		capacity: fairness.NewCounter(fairness.Share{Total: maxHolds, Percent: holdSharePercent}),
		holds:    map[postern.TargetKey][]*hold{},
	}
}

// begin starts to watch the requests of a write, before the write: the informer may be faster than the answer. Call end
// with the result.
func (l *holdList) begin(key postern.TargetKey, requests []Request, decisions []decision) (begun []*hold) {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	for i, d := range decisions {
		r := requests[i]
		if r.OnTakenBack == nil || !d.Held || len(d.Fields) == 0 {
			continue
		}
		if holds := l.holds[key]; len(holds) >= maxTargetHolds {
			l.remove(holds[0])
		}
		release, err := l.capacity.TryAcquire(fairness.Flow{Namespace: key.Namespace, Anonymous: r.Anonymous}, 1)
		if err != nil {
			continue
		}
		h := &hold{
			key: key, slots: d.Slots, fields: slices.Clone(d.Fields[:min(len(d.Fields), maxHoldFields)]),
			received: r.Received, report: r.OnTakenBack, release: release, until: l.now().Add(holdTime),
		}
		l.holds[key] = append(l.holds[key], h)
		l.queue = append(l.queue, h)
		begun = append(begun, h)
	}
	return begun
}

// end ends a write: its requests are watched on if it returned an object. They replace those before them.
func (l *holdList) end(begun []*hold, written object) {
	if len(begun) == 0 {
		return
	}
	reports := l.confirm(begun, written)
	for _, report := range reports {
		report()
	}
}

func (l *holdList) confirm(begun []*hold, written object) (reports []func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range begun {
		if written == nil || h.release == nil {
			l.remove(h)
			continue
		}
		h.version, _ = strconv.ParseUint(written.GetResourceVersion(), 10, 64)
		h.uid = written.GetUID()
		h.written = lastWrite(written.GetManagedFields(), fieldManager)
		l.replace(h)
		early, lost := h.early, h.earlyLost
		h.early, h.earlyLost = nil, nil // it may be large
		if early == nil || early.version <= h.version {
			continue
		}
		if early.UID == h.uid {
			reports = append(reports, h.reportOf(early, lost))
		}
		l.remove(h)
	}
	return reports
}

// replace ends the holds that a newer one replaces: those in the same slots, and of others the fields that it sets.
func (l *holdList) replace(by *hold) {
	for _, h := range slices.Clone(l.holds[by.key]) {
		if h == by {
			return // those after it are newer
		}
		shared := func(slot string) bool { return slices.Contains(by.slots, slot) }
		h.fields = slices.DeleteFunc(slices.Clone(h.fields), func(f heldField) bool {
			return slices.ContainsFunc(by.fields, func(n heldField) bool { return n.Path == f.Path && !n.IsList })
		})
		if len(h.fields) == 0 || slices.ContainsFunc(h.slots, shared) {
			l.remove(h)
		}
	}
}

func isAnnotation(f heldField) bool { return strings.HasPrefix(f.Path, annotationsPath) }

// remove ends a hold. The caller holds the lock.
func (l *holdList) remove(h *hold) {
	if h.release == nil {
		return
	}
	h.release()
	h.release, h.fields, h.report, h.early = nil, nil, nil, nil // the queue keeps h for a while
	rest := slices.DeleteFunc(slices.Clone(l.holds[h.key]), func(other *hold) bool { return other == h })
	if l.holds[h.key] = rest; len(rest) == 0 {
		delete(l.holds, h.key)
	}
}

// expire ends the holds whose time is over. The caller holds the lock.
func (l *holdList) expire() {
	ended := 0
	for ended < len(l.queue) && (l.queue[ended].release == nil || !l.now().Before(l.queue[ended].until)) {
		l.remove(l.queue[ended])
		ended++
	}
	l.queue = slices.Delete(l.queue, 0, ended)
	if len(l.queue) > 2*maxHolds {
		l.queue = slices.DeleteFunc(l.queue, func(h *hold) bool { return h.release == nil })
	}
}

// observe compares a target, as the watch delivers it with all metadata, with what it should hold, and reports what was
// taken back.
func (l *holdList) observe(kind postern.TargetKind, obj object) {
	if l == nil {
		return
	}
	holds := l.of(postern.TargetKey{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()})
	if len(holds) == 0 {
		return
	}
	observed := observe(obj)
	if observed == nil {
		return
	}
	var reports []func()
	for h, seen := range holds {
		// The object may be large, so it is compared without the lock.
		if report := l.settle(h, observed.observedMeta, seen.compare(observed)); report != nil {
			reports = append(reports, report)
		}
	}
	for _, report := range reports {
		report()
	}
}

// of returns the holds of a target, and copies of them.
func (l *holdList) of(key postern.TargetKey) map[*hold]hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.holds[key]) == 0 {
		return nil
	}
	l.expire()
	holds := map[*hold]hold{}
	for _, h := range l.holds[key] {
		holds[h] = *h
	}
	return holds
}

// comparison is a target compared with what it should hold.
type comparison struct {
	// lost are the fields that no longer hold what was requested, without those that describe a later request.
	lost []heldField
	// holdsAll is true if all fields hold it.
	holdsAll bool
	// later is the receipt of the last later request in one of the slots, as the target records it; zero if there is
	// none.
	later time.Time
}

// settle ends a hold that a version of the target no longer holds, and returns its report; nil if there is none.
func (l *holdList) settle(h *hold, observed *observedMeta, c comparison) (report func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case h.release == nil || observed.version <= h.version: // it has ended; or this is the write itself, or before it
	case h.version > 0 && observed.UID != h.uid: // the target was deleted and created again
		l.remove(h)
	case !c.later.IsZero() && c.holdsAll: // the same was requested again
		h.received = c.later
	case !c.later.IsZero():
		l.remove(h)
	case len(c.lost) == 0:
	case h.version == 0:
		h.early, h.earlyLost = observed, c.lost
	default:
		report = h.reportOf(observed, c.lost)
		l.remove(h)
	}
	return report
}

// compare compares a target with what it should hold.
func (h *hold) compare(observed *observation) comparison {
	c := comparison{holdsAll: true}
	replaced := false // in any slot
	for _, m := range observed.recorded {
		replaced = replaced || m.Received.After(h.received)
	}
	for _, slot := range h.slots {
		if at := observed.recorded[slot].Received; at.After(h.received) && at.After(c.later) {
			c.later = at
		}
	}
	for _, f := range h.fields {
		if f.heldBy(observed) {
			continue
		}
		c.holdsAll = false
		if !replaced || !isAnnotation(f) {
			c.lost = append(c.lost, f)
		}
	}
	return c
}

// reportOf returns a function that reports who took fields of a target back, unless it was another replica of Postern.
// Metadata may be large, so the function reads it, and is called without the lock.
func (h *hold) reportOf(observed *observedMeta, lost []heldField) func() {
	key, written, report := h.key, h.written, h.report
	return func() {
		taken := TakenBack{Key: key, UID: observed.UID, At: time.Now().UTC()}
		spec := false
		for _, f := range lost {
			taken.Fields = append(taken.Fields, f.Name)
			spec = spec || !isAnnotation(f)
		}
		if key.Kind == postern.TargetApplication {
			taken.Note = managerNote(observed, spec)
		}
		if by := observed.takerOf(lost, written); by != nil {
			taken.Manager = by.Manager
			if by.Time != nil && !by.Time.Time.Before(written) {
				taken.At = by.Time.UTC()
			}
		}
		if taken.Manager != fieldManager {
			report(taken)
		}
	}
}
