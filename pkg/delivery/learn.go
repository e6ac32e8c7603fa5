// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// Learn takes note of what a record says that targets held, so that what was received before is not written over it: the
// record may be of another replica, or of an earlier run, and where it changed nothing the target does not tell. It does
// not change the record.
func (d *Deliverer) Learn(record *postern.WebhookDelivery) {
	if record.Status.ReceivedTime == nil {
		return
	}
	for _, result := range record.Status.Targets {
		if result.Result != postern.TargetWritten && result.Result != postern.TargetUnchanged {
			continue
		}
		for place := range record.Spec.Events {
			t := task{event: &record.Spec.Events[place], place: place, matched: record.Spec.Target == nil}
			t.key.Kind, t.key.Namespace, t.key.Name = target.Kind(result.Kind), record.Namespace, result.Name
			if t.event.Ref == result.Ref {
				t = timed(record, []task{t})[0]
				d.Targets.Held(t.key, t.request(result.Time.Time))
			}
		}
	}
}
