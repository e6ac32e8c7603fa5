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

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
	"postern.dev/postern/pkg/target"
)

// resolveTimeout bounds the search for targets, including the wait for a slot. It leaves time to record a delivery
// whose targets could not be found.
const resolveTimeout = 3 * time.Second

// maxTasks bounds the tasks of one delivery: the maximum number of its refs, for 128 targets.
const maxTasks = 1 << 15

// task is one write to one target.
type task struct {
	key   postern.TargetKey
	event *postern.DeliveryEvent
	// index is the index of the event in the delivery.
	index int
	// repository is the repository of the event if the target is named and may get the same ref of others.
	repository string
	// received is the time of receipt, in which the index takes the place of the nanoseconds, which a receipt does not
	// have. No two events share it, so a target knows which one was written last.
	received time.Time
	// retry is true if the task was tried before, override if it is redelivered on purpose, and anonymous if the
	// cluster has not authenticated the sender.
	retry, override, anonymous bool
	// again is true for a repeat of a task that was written.
	again bool
	// hold is why the delivery is held; empty if it is not. released is true if the target held the task before.
	hold     string
	released bool
	// watch collects what other clients take back after the write; nil if it is not watched.
	watch *targetWatch
	// priority is 0 for a target that was not tried yet. Otherwise the target is tried before (-1) or after (1) those.
	priority int
	// matched is true if the target was found and not named. It is then written only if it wants the event.
	matched bool
	// refused is why the task is not written; nil if it is.
	refused *refusal
	// waits is true if it is not the task's turn in this pass.
	waits bool
}

// refusal is a reason and a message of a status.
type refusal struct{ reason, message string }

// noSlotError means that a delivery got no slot and was not worked on. It may be retried.
type noSlotError struct{ error }

// isTransient reports whether targets may be found or written later.
func isTransient(err error) bool { return errors.As(err, &noSlotError{}) || target.IsTransient(err) }

// resolve returns the tasks of a new delivery. If there are none, it sets the status: Ignored, or Pending if the
// targets can't be found now. The error is for the client.
func (d *Deliverer) resolve(ctx context.Context, r *Request) ([]task, error) {
	delivery := r.Delivery
	if len(delivery.Spec.Events) == 0 {
		d.setIgnored(delivery, ReasonNothingRequested, "admission left nothing to request")
		return nil, nil
	}
	tasks, err := d.findTasks(ctx, delivery)
	switch {
	case isTransient(err) && !r.DryRun:
		d.setPending(delivery, err)
		return nil, nil
	case apierrors.IsRequestEntityTooLargeError(err):
		return nil, err
	case err != nil:
		return nil, answerFor(err)
	case len(tasks) == 0:
		d.setIgnored(delivery, ReasonNoTarget, noMatchMessage("nothing in this namespace", delivery.Spec.Events))
	}
	return tasks, nil
}

// findTasks finds the targets of a delivery: the named one, which must exist, or all in its namespace that want what
// was pushed. The latter waits for a slot. Tasks of one target are in the order of the payload. The error is from
// Targets, or a noSlotError.
func (d *Deliverer) findTasks(ctx context.Context, delivery *postern.WebhookDelivery) ([]task, error) {
	ctx, done := startStage(ctx, stageResolve)
	defer done()
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	key, named := postern.TargetKey{}, delivery.Spec.Target != nil
	if named {
		key = targetKey(delivery)
		several := hasSeveralGitRefs(delivery.Spec.Events)
		if err := d.Targets.Resolve(ctx, key, several); err != nil {
			return nil, err
		}
		if !several {
			return withReceipt(delivery, tasksForTarget(key, delivery.Spec.Events)), nil
		}
	}
	flow := fairness.Flow{Namespace: delivery.Namespace, Anonymous: !isIdentity(delivery.Status.Sender)}
	end, err := d.Work.Await(ctx, flow)
	if err != nil {
		return nil, noSlotError{err}
	}
	defer end()
	if named {
		return d.chooseRefs(key, withReceipt(delivery, tasksForTarget(key, delivery.Spec.Events))), nil
	}
	return d.resolveMatching(delivery)
}

// withReceipt sets the fields of tasks that depend on their delivery.
func withReceipt(delivery *postern.WebhookDelivery, tasks []task) []task {
	for i := range tasks {
		if received := delivery.Status.ReceivedTime; received != nil {
			tasks[i].received = received.Add(time.Duration(tasks[i].index))
		}
		tasks[i].override = delivery.Spec.RedeliveryOf != ""
		tasks[i].hold = holdOf(delivery)
		tasks[i].anonymous = !isIdentity(delivery.Status.Sender)
	}
	return tasks
}

// tasksForTarget returns the tasks that a named target may get, those for images first.
func tasksForTarget(key postern.TargetKey, events []postern.DeliveryEvent) []task {
	var images, refs []task
	events = slices.Clone(events) // the delivery is stored concurrently
	for i := range events {
		t := task{key: key, event: &events[i], index: i}
		if t.event.Image == nil {
			refs = append(refs, t)
		} else {
			images = append(images, t)
		}
	}
	if len(refs) > 1 {
		setRepositories(refs)
	}
	return append(images, refs...)
}

// setRepositories sets the repository of the tasks whose ref others have, too.
func setRepositories(refs []task) {
	count := map[string]int{}
	for _, t := range refs {
		count[t.event.Ref]++
	}
	for i, t := range refs {
		if count[t.event.Ref] > 1 {
			refs[i].repository = t.event.Repository
		}
	}
}

func hasSeveralGitRefs(events []postern.DeliveryEvent) bool {
	count := 0
	for i := range events {
		if events[i].Image == nil {
			count++
		}
	}
	return count > 1
}

// chooseRefs returns the tasks that a named target gets. It chooses among the tags of an image when it is written, so
// all of them count. It has one git ref of a repository at a time, so the others are dropped.
func (d *Deliverer) chooseRefs(key postern.TargetKey, tasks []task) []task {
	first := slices.IndexFunc(tasks, func(t task) bool { return t.event.Image == nil })
	chosen, refs := tasks[:first:first], tasks[first:]
	requests := make([]target.Request, len(refs))
	for i, t := range refs {
		requests[i] = t.request(d.Now())
	}
	for _, i := range d.Targets.Choose(key, requests) {
		chosen = append(chosen, refs[i])
	}
	return chosen
}

// resolveMatching returns the tasks of a delivery that names no target. It keeps every event: each target chooses among
// several tags, and the last tag is not always the highest.
func (d *Deliverer) resolveMatching(delivery *postern.WebhookDelivery) ([]task, error) {
	var tasks []task
	events := slices.Clone(delivery.Spec.Events) // the delivery is stored concurrently
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

// refusalFor returns why a match is not written, or nil.
func (d *Deliverer) refusalFor(delivery *postern.WebhookDelivery, match target.Match) *refusal {
	// An identity suffices for redelivery also where it does not suffice for the target.
	method := credential.Method(delivery.Status.Sender.Method)
	suffices := d.Verifier.IdentitySuffices() &&
		(method == credential.MethodServiceAccount || method == credential.MethodUser)
	if !suffices && d.Secrets.HasOwnKey(match.Key.Namespace, credentialTarget(match.Key)) {
		return &refusal{ReasonOwnSecret, "the target has a webhook secret of its own: deliver to it by its own path"}
	}
	if match.Unaffected && delivery.Spec.RedeliveryOf == "" {
		return &refusal{target.ReasonNotAffected, "the push changed no file in " +
			argov1alpha1.AnnotationManifestGeneratePaths + ", so it is not refreshed"}
	}
	return nil
}

// tooManyTasks returns the error for a delivery that matches too many targets.
func tooManyTasks(delivery *postern.WebhookDelivery) error {
	return apierror.New(http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, fmt.Sprintf(
		"the %d refs of this delivery match so many targets that it would take more than %d writes: "+
			"push fewer refs at a time, or deliver to each target by its own path",
		len(delivery.Spec.Events), maxTasks))
}

func targetKey(d *postern.WebhookDelivery) postern.TargetKey {
	return postern.TargetKey{Kind: d.Spec.Target.Kind, Namespace: d.Namespace,
		Name: d.Spec.Target.Name}
}

// credentialTarget returns the key as a credential.Target.
func credentialTarget(key postern.TargetKey) *credential.Target {
	return &credential.Target{Resource: key.Kind.Resource(), Name: key.Name}
}

// request returns the request of a task to its target.
func (t task) request(now time.Time) target.Request {
	r := target.Request{
		DeliveryEvent: t.event, IfFollowed: t.matched, At: now,
		Anonymous: t.anonymous, Received: t.received, Retry: t.retry, Override: t.override, Again: t.again,
		Hold: t.hold, Released: t.released,
	}
	if watch, ref := t.watch, t.event.Ref; watch != nil { // the function must not keep the events in memory
		r.OnTakenBack = func(taken target.TakenBack) { watch.note(ref, taken) }
	}
	return r
}
