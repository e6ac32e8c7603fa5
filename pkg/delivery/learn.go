// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"time"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// HandleRecord notes what targets held according to a record, so that a delivery that was received earlier does not
// overwrite it, and which git refs could not be written to them, so that a later push does not leave them out. The
// record may be of another replica or an earlier run, and an unchanged target does not show it. It does not change the
// record.
//
// It blocks the watch of all namespaces, so its cost must grow with the results, not with results times events.
func (d *Deliverer) HandleRecord(record *postern.WebhookDelivery) {
	if record.Status.ReceivedTime == nil {
		return
	}
	held, owed := map[postern.TargetKey][]target.Request{}, map[postern.TargetKey][]target.Request{}
	tasks, results := tasksWithResults(record)
	for i, t := range tasks {
		switch r := results[i]; {
		case isHeld(r):
			held[t.key] = append(held[t.key], t.request(time.Time{}))
		case t.event.Image == nil && r.Result == postern.TargetFailed: // what is pending is still written, or fails
			owed[t.key] = append(owed[t.key], t.request(time.Time{}))
		}
	}
	for key, requests := range held {
		d.Targets.RecordHeld(key, requests...)
	}
	for key, requests := range owed {
		d.Targets.RecordOwed(key, requests...)
	}
}

// heldTasks returns the tasks after which their targets held what was requested, as far as a record lists them.
func heldTasks(record *postern.WebhookDelivery) []task {
	tasks, results := tasksWithResults(record)
	held := tasks[:0]
	for i, t := range tasks {
		if isHeld(results[i]) {
			held = append(held, t)
		}
	}
	return held
}

// tasksWithResults returns the tasks of the results in a record, and the result of each.
func tasksWithResults(record *postern.WebhookDelivery) ([]task, []postern.TargetResult) {
	tasks := withReceipt(record, tasksOfResults(record))
	results, _ := matchResults(tasks, record.Status.Targets)
	return tasks, results
}

// isHeld reports whether a target held what was requested after a write.
func isHeld(r postern.TargetResult) bool {
	return r.Result == postern.TargetWritten || r.Result == postern.TargetUnchanged
}

// tasksOfResults returns the tasks of the results in a record, in the order of each target's results. It omits the
// tasks for one ref at a target if it is unknown which of them have a result: the record may not list all results, and
// the target may want only some of several images with one tag.
func tasksOfResults(record *postern.WebhookDelivery) []task {
	type resultKey struct {
		key             postern.TargetKey
		ref, repository string
	}
	keyOf := func(r postern.TargetResult) resultKey {
		key := postern.TargetKey{Kind: r.Kind, Namespace: record.Namespace, Name: r.Name}
		return resultKey{key, r.Ref, r.Repository}
	}
	counts := map[resultKey]int{}
	for _, r := range record.Status.Targets {
		counts[keyOf(r)]++
	}
	byRef := map[resultKey][]task{} // without the target
	for _, t := range tasksWithoutKey(record) {
		k := resultKey{ref: t.event.Ref, repository: t.repository}
		byRef[k] = append(byRef[k], t)
	}
	var tasks []task
	for _, r := range record.Status.Targets {
		k := keyOf(r)
		if each := byRef[resultKey{ref: k.ref, repository: k.repository}]; counts[k] == len(each) {
			for _, t := range each {
				t.key = k.key
				tasks = append(tasks, t)
			}
		}
		delete(counts, k)
	}
	return tasks
}

// tasksWithoutKey returns what a record requests of each of its targets.
func tasksWithoutKey(record *postern.WebhookDelivery) []task {
	if record.Spec.Target != nil {
		return tasksForTarget(postern.TargetKey{}, record.Spec.Events)
	}
	tasks := make([]task, len(record.Spec.Events))
	for i := range record.Spec.Events {
		tasks[i] = task{event: &record.Spec.Events[i], index: i, matched: true}
	}
	return tasks
}
