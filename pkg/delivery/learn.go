// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// HandleRecord takes note of what a record says that targets held, so that what was received before is not written over it: the
// record may be of another replica, or of an earlier run, and where it changed nothing the target does not tell. It does
// not change the record.
//
// All namespaces wait for it, so it takes time by the number of results, and not by that of results times events.
func (d *Deliverer) HandleRecord(record *postern.WebhookDelivery) {
	if record.Status.ReceivedTime == nil {
		return
	}
	tasks := withReceipt(record, tasksTold(record))
	results, _ := matchResults(tasks, record.Status.Targets)
	held := map[target.Key][]target.Request{}
	for i, t := range tasks {
		if r := results[i]; r.Result == postern.TargetWritten || r.Result == postern.TargetUnchanged {
			held[t.key] = append(held[t.key], t.request(r.Time.Time))
		}
	}
	for key, requests := range held {
		d.Targets.RecordHeld(key, requests...)
	}
}

// tasksTold returns the tasks that the results of a record are of, in the order of each target's results. Those of
// one ref at a target are left out if it is not known which of them have a result: the record may not list all
// results, and of several images with one tag the target may have wanted some.
func tasksTold(record *postern.WebhookDelivery) []task {
	type of struct {
		key target.Key
		ref string
	}
	idOf := func(r postern.TargetResult) of {
		return of{target.Key{Kind: target.Kind(r.Kind), Namespace: record.Namespace, Name: r.Name}, r.Ref}
	}
	told := map[of]int{}
	for _, r := range record.Status.Targets {
		told[idOf(r)]++
	}
	byRef := map[string][]task{}
	for _, t := range tasksWithoutKey(record) {
		byRef[t.event.Ref] = append(byRef[t.event.Ref], t)
	}
	var tasks []task
	for _, r := range record.Status.Targets {
		id := idOf(r)
		if each := byRef[id.ref]; told[id] == len(each) {
			for _, t := range each {
				t.key = id.key
				tasks = append(tasks, t)
			}
		}
		delete(told, id)
	}
	return tasks
}

// tasksWithoutKey returns what a record asks of each of its targets.
func tasksWithoutKey(record *postern.WebhookDelivery) []task {
	if record.Spec.Target != nil {
		return tasksForTarget(target.Key{}, record.Spec.Events)
	}
	tasks := make([]task, len(record.Spec.Events))
	for i := range record.Spec.Events {
		tasks[i] = task{event: &record.Spec.Events[i], index: i, matched: true}
	}
	return tasks
}
