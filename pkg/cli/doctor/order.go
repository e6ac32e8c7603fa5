// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"postern.dev/postern/pkg/target"
)

// maxClockSkew is how far ahead a recorded receipt may be. Postern ignores those further ahead.
const maxClockSkew = time.Minute

// examineOrder reads the last event that the target records: older ones are superseded.
func (e *examiner) examineOrder(context.Context) {
	if e.object == nil {
		return
	}
	recorded := e.object.GetAnnotations()[target.AnnotationEventTime]
	if recorded == "" {
		e.report(OK, "", "it records no event, so the next one of any time is written")
		return
	}
	var slots map[string]struct {
		By       string    `json:"by"`
		Time     time.Time `json:"time"`
		Received time.Time `json:"received"`
	}
	const remove = target.AnnotationEventTime + "-"
	if err := json.Unmarshal([]byte(recorded), &slots); err != nil {
		e.report(Warning, e.removeAnnotation(remove), "the annotation %s is not valid and is ignored",
			target.AnnotationEventTime)
		return
	}
	now := time.Now()
	by, latest := "", time.Time{}
	for _, slot := range slots {
		if slot.Received.After(now.Add(maxClockSkew)) {
			e.report(Warning, e.removeAnnotation(remove), "the annotation %s records an event that was received in "+
				"the future: a clock was wrong, or a user has edited it", target.AnnotationEventTime)
			return
		}
		if slot.Time.After(latest) {
			by, latest = slot.By, slot.Time
		}
	}
	if latest.IsZero() {
		e.report(OK, "", "deliveries are ordered by their receipt: its last event has no time of the sender")
		return
	}
	e.report(Note, "", "its last event of %s happened %s ago (%s): events of %s from before are superseded, unless "+
		"they are redelivered", by, duration.HumanDuration(now.Sub(latest)), latest.Format(time.RFC3339), by)
}

// removeAnnotation returns the command that removes an annotation, whose name ends in a dash.
func (e *examiner) removeAnnotation(name string) string {
	return e.kubectlHere("annotate", e.groupKind(), e.Target.Name, name)
}
