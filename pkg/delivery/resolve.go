// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
	"postern.dev/postern/pkg/target"
)

// resolveTimeout bounds the look for targets, the wait for its turn included, so that there is time left to record that they
// could not be found just now.
const resolveTimeout = 3 * time.Second

// maxTasks bounds the tasks of one delivery: as many refs as a delivery may have, for 128 targets.
const maxTasks = 1 << 15

// task is one thing to write to one target.
type task struct {
	key   target.Key
	event *postern.DeliveryEvent
	// index is that of the event in the delivery.
	index int
	// received is when the delivery came in, with the place as nanoseconds, which the receipt itself has none of. So no
	// two events have the same, and a target knows which it was written for last.
	received time.Time
	// retry is whether it was tried before, override whether it is made again on purpose, and anonymous whether the cluster
	// has not authenticated the sender.
	retry, override, anonymous bool
	// priority is 0 for a target that was not tried yet, and else whether it comes before or after those.
	priority int
	// matched is whether the target was found and not named. It is then written only if it wants the event.
	matched bool
	// refused is why it is not written after all; nil if it is.
	refused *refusal
}

// refusal is a reason and a message, as a status has them.
type refusal struct{ reason, message string }

// noTurnError is why a delivery was not worked on at all. It may be tried again.
type noTurnError struct{ error }

// mayFindLater reports whether targets could not be found for a cause that passes.
func mayFindLater(err error) bool { return errors.As(err, &noTurnError{}) || target.IsTransient(err) }

// resolve finds the targets of a delivery: the one that it names, which must exist, or else all in its namespace that
// want what was pushed, when it is its turn. Tasks of one target are in the order of the payload. The error is that of the
// Targets, or a noTurnError.
func (d *Deliverer) resolve(ctx context.Context, delivery *postern.WebhookDelivery) ([]task, error) {
	ctx, done := startStage(ctx, stageResolve)
	defer done()
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	if delivery.Spec.Target == nil {
		end, err := d.Work.Await(ctx, fairness.Flow{Namespace: delivery.Namespace, Anonymous: !isIdentity(delivery.Status.Sender)})
		if err != nil {
			return nil, noTurnError{err}
		}
		defer end()
		return d.resolveMatching(delivery)
	}
	key := targetKey(delivery)
	if err := d.Targets.Resolve(ctx, key); err != nil {
		return nil, err
	}
	return withReceipt(delivery, tasksForTarget(key, delivery.Spec.Events)), nil
}

// withReceipt sets what tells the tasks of one delivery from those of another.
func withReceipt(delivery *postern.WebhookDelivery, tasks []task) []task {
	for i := range tasks {
		if received := delivery.Status.ReceivedTime; received != nil {
			tasks[i].received = received.Add(time.Duration(tasks[i].index))
		}
		tasks[i].override = delivery.Spec.RedeliveryOf != ""
		tasks[i].anonymous = !isIdentity(delivery.Status.Sender)
	}
	return tasks
}

// tasksForTarget is what to write to a target that was named. It gets whatever git ref it is told to, one at a time, so of
// several only the last one counts. Of an image it takes the tags that it wants, so each counts.
func tasksForTarget(key target.Key, events []postern.DeliveryEvent) []task {
	var tasks []task
	var ref *task
	events = slices.Clone(events) // the delivery is stored meanwhile
	for i := range events {
		event := &events[i]
		t := task{key: key, event: event, index: i}
		if event.Image == nil {
			ref = &t
			continue
		}
		tasks = append(tasks, t)
	}
	if ref != nil {
		tasks = append(tasks, *ref)
	}
	return tasks
}

// resolveMatching is what to write where no target was named. Every event counts: which of several tags a target wants is
// for the target to say, and the last is not always the highest.
func (d *Deliverer) resolveMatching(delivery *postern.WebhookDelivery) ([]task, error) {
	var tasks []task
	events := slices.Clone(delivery.Spec.Events) // the delivery is stored meanwhile
	for i := range events {
		event := &events[i]
		matches, err := d.Targets.Matches(delivery.Namespace, task{event: event, matched: true}.request(d.Now()))
		if err != nil {
			return nil, err
		}
		if len(tasks)+len(matches) > maxTasks {
			return nil, tooManyTasks(delivery)
		}
		for _, match := range matches {
			tasks = append(tasks, task{
				key: match.Key, event: event, index: i, matched: true, refused: d.refusalFor(delivery, match),
			})
		}
	}
	return withReceipt(delivery, tasks), nil
}

// refusalFor says why a match is not written to, or returns nil.
func (d *Deliverer) refusalFor(delivery *postern.WebhookDelivery, match target.Match) *refusal {
	// By identity alone somebody may deliver again, also where it does not suffice for a target.
	method := credential.Method(delivery.Status.Sender.Method)
	suffices := d.Verifier.IdentitySuffices() && (method == credential.MethodServiceAccount || method == credential.MethodUser)
	if !suffices && d.Secrets.HasOwnKey(match.Key.Namespace, credentialTarget(match.Key)) {
		return &refusal{ReasonOwnSecret, "the target has a webhook secret of its own: deliver to it by its own path"}
	}
	return nil
}

// tooManyTasks refuses a delivery that is for too many targets, and says what to do.
func tooManyTasks(delivery *postern.WebhookDelivery) error {
	return statusError(http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, fmt.Sprintf(
		"the %d refs of this delivery are wanted by so many targets that it would take more than %d writes: "+
			"push fewer refs at a time, or deliver to each target by its own path", len(delivery.Spec.Events), maxTasks))
}
