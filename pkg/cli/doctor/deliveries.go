// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/story"
)

// How many deliveries are read: the API lists them by name, so the newest are not the first.
const (
	deliveriesPage = 500
	maxPages       = 10
)

// readDeliveries reads the deliveries that concern the question: to the target by its name, and those by source.
func (e *examiner) readDeliveries(ctx context.Context) {
	for _, selector := range e.deliverySelectors() {
		if e.deliveriesErr = e.readSelected(ctx, selector); e.deliveriesErr != nil {
			return
		}
	}
	slices.SortFunc(e.deliveries, func(a, b v1alpha1.WebhookDelivery) int {
		return cli.ReceivedAt(&b).Compare(cli.ReceivedAt(&a))
	})
}

// deliverySelectors are disjoint.
func (e *examiner) deliverySelectors() []fields.Set {
	selected := fields.Set{}
	if e.Source != "" {
		selected[v1alpha1.FieldSource] = e.Source
	}
	if e.Target == nil {
		return []fields.Set{selected}
	}
	named, unnamed := fields.Set{v1alpha1.FieldTargetKind: string(e.Target.Kind),
		v1alpha1.FieldTargetName: e.Target.Name},
		fields.Set{v1alpha1.FieldTargetName: ""}
	for key, value := range selected {
		named[key], unnamed[key] = value, value
	}
	return []fields.Set{named, unnamed}
}

func (e *examiner) readSelected(ctx context.Context, selector fields.Set) error {
	options := metav1.ListOptions{FieldSelector: fields.SelectorFromSet(selector).String(), Limit: deliveriesPage}
	for range maxPages {
		page, err := e.Postern.PosternV1alpha1().WebhookDeliveries(e.Namespace).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range page.Items {
			if e.isRelevant(&page.Items[i]) {
				e.deliveries = append(e.deliveries, page.Items[i])
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return nil
		}
	}
	e.partial = true
	return nil
}

// isRelevant reports whether a delivery concerns the target: it names it, has a result for it, or reached nothing.
func (e *examiner) isRelevant(d *v1alpha1.WebhookDelivery) bool {
	return e.Target == nil || d.Spec.Target != nil || len(d.Status.Targets) == 0 || e.resultIn(d) != nil
}

// resultIn returns the result of a delivery for the target, nil if there is none.
func (e *examiner) resultIn(d *v1alpha1.WebhookDelivery) *v1alpha1.TargetResult {
	if e.Target == nil {
		return nil
	}
	for i := range d.Status.Targets {
		if result := &d.Status.Targets[i]; result.Kind == e.Target.Kind && result.Name == e.Target.Name {
			return result
		}
	}
	return nil
}

// outcome is what a delivery did to the target or, without one, altogether.
type outcome struct {
	delivery                *v1alpha1.WebhookDelivery
	result, reason, message string
}

func (e *examiner) outcomeOf(d *v1alpha1.WebhookDelivery) outcome {
	if result := e.resultIn(d); result != nil {
		return outcome{d, string(result.Result), result.Reason, result.Message}
	}
	return outcome{d, string(d.Status.Phase), d.Status.Reason, d.Status.Message}
}

// The outcomes are phases or, for one target, results.
func (o outcome) isFault() bool { return isOneOf(o.result, "Pending", "Failed") }

func (o outcome) isApplied() bool { return isOneOf(o.result, "Applied", "Written", "Unchanged") }

// examineDeliveries reports the latest delivery, and how many of the others failed.
func (e *examiner) examineDeliveries(ctx context.Context) {
	switch {
	case !e.answers:
		return
	case e.deliveriesErr != nil:
		e.cannotRead("the recent deliveries", e.deliveriesErr)
		return
	}
	deliveries := e.concerning()
	if len(deliveries) == 0 {
		e.report(Note, "", "%s has been recorded in %s. Webhooks that are refused leave no record", e.noDelivery(),
			e.Namespace)
		return
	}
	latest := e.outcomeOf(&deliveries[0])
	what := "the latest delivery, "
	if e.partial {
		what = fmt.Sprintf("the latest of %d deliveries, which are not all, ", len(deliveries))
	}
	e.reportOutcome(ctx, latest, what+e.describe(latest.delivery))
	failed := slices.DeleteFunc(slices.Clone(deliveries[1:]), func(d v1alpha1.WebhookDelivery) bool {
		return !e.outcomeOf(&d).isFault()
	})
	if len(failed) == 0 {
		return
	}
	last := e.outcomeOf(&failed[0])
	e.report(Note, e.why(last.delivery),
		"%d of the %d earlier deliveries failed or are pending, the last one %s: %s: %s",
		len(failed), len(deliveries)-1, e.describe(last.delivery), last.reason, last.message)
}

// noDelivery says which deliveries were looked for.
func (e *examiner) noDelivery() string {
	what := "no delivery"
	if e.Source != "" {
		what += " of " + e.Source
	}
	if e.Target != nil {
		what += " to " + e.targetName()
	}
	return what
}

// concerning returns the deliveries that the target got. Without a sender, those that reached nothing may be of
// any sender, so they count only if there are no others.
func (e *examiner) concerning() []v1alpha1.WebhookDelivery {
	if e.Target == nil || e.Source != "" {
		return e.deliveries
	}
	reached := slices.DeleteFunc(slices.Clone(e.deliveries), func(d v1alpha1.WebhookDelivery) bool {
		return d.Spec.Target == nil && e.resultIn(&d) == nil
	})
	if len(reached) == 0 {
		return e.deliveries
	}
	return reached
}

func (e *examiner) describe(d *v1alpha1.WebhookDelivery) string {
	what := fmt.Sprintf("%s, %s ago", d.Name, duration.HumanDuration(time.Since(cli.ReceivedAt(d))))
	if refs := refsOf(d); refs != "" {
		what += ", of " + refs
	}
	return what
}

// refsOf returns the first refs of a delivery.
func refsOf(d *v1alpha1.WebhookDelivery) string {
	const maxRefs = 3
	var refs []string
	for i, event := range d.Spec.Events {
		if i == maxRefs {
			refs = append(refs, "…")
			break
		}
		ref := event.Ref
		if event.Image != nil {
			ref = cli.ImageName(event.Image) + ":" + event.Ref
		}
		refs = append(refs, ref)
	}
	return strings.Join(refs, ", ")
}

// reportOutcome reports an outcome and, unless it is as wanted, the command that helps.
func (e *examiner) reportOutcome(ctx context.Context, o outcome, what string) {
	takenBack := story.TakenBack(o.delivery)
	switch {
	case takenBack != nil:
		e.report(Warning, e.redeliver(o.delivery), "%s was applied, and then taken back by another client: %s", what,
			takenBack.Message)
	case o.isApplied():
		e.report(OK, "", "%s was applied: %s", what, o.message)
	case o.result == "Pending" && isOneOf(o.reason, "", "NotReached", "Paced"):
		e.report(Note, "", "%s is in progress, or waits for its turn: %s", what, o.message)
	case o.result == "Held":
		message := o.message
		if !strings.HasPrefix(message, "held") { // as in "held (a freeze), until it is released"
			message = "held: " + message
		}
		e.report(Warning, e.why(o.delivery), "%s is %s", what, message)
	case o.isFault():
		e.report(Fault, e.remedy(ctx, o), "%s is %s (%s): %s", what, o.result, o.reason, o.message)
	case o.reason == "NothingRequested":
		e.report(Note, "", "%s requested nothing: %s", what, o.message)
	default:
		message, command := e.explainUnwanted(ctx, o)
		e.report(Warning, command, "%s was not applied (%s): %s", what, o.reason, message)
	}
}

// redeliver returns the command that requests again what a delivery requested, regardless of its age. A dry run, which
// has no record, can't be redelivered.
func (e *examiner) redeliver(d *v1alpha1.WebhookDelivery) string {
	if d.UID == "" {
		return ""
	}
	return e.PluginCommand("redeliver", d.Name)
}
