// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fieldcases

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/fieldcases/fieldcase"
)

// patience is how long a case waits for what it expects. It is short, since a case that fails uses all of it.
const patience = 30 * time.Second

// await repeats a check until it finds no difference, and returns the last differences.
func (r *runner) await(check func() []string) (differences []string) {
	_ = wait.PollUntilContextTimeout(r.T.Context(), 50*time.Millisecond, patience, true,
		func(context.Context) (bool, error) {
			differences = check()
			return len(differences) == 0, nil
		})
	return differences
}

// outcome is what happened to a delivery, in the terms of fieldcase.Outcome.
type outcome struct {
	Phase, Reason, Message, Source, Method string

	Events     []v1alpha1.DeliveryEvent
	Targets    []v1alpha1.TargetResult
	Conditions map[string]string
	Repeats    int64
}

// String describes an outcome in one line for a failure.
func (o outcome) String() string {
	text := fmt.Sprintf("%s %s: %s", o.Phase, o.Reason, o.Message)
	for _, t := range o.Targets {
		text += fmt.Sprintf("; %s/%s %s %s: %s", t.Kind, t.Name, t.Result, t.Reason, t.Message)
	}
	return text
}

// readOutcome reads a delivery, or an error, and the name of the delivery.
func readOutcome(body []byte) (o outcome, name string, err error) {
	var kind metav1.TypeMeta
	if err := json.Unmarshal(body, &kind); err != nil {
		return outcome{}, "", err
	}
	if kind.Kind == "Status" {
		var status metav1.Status
		err := json.Unmarshal(body, &status)
		return outcome{Reason: string(status.Reason), Message: status.Message}, "", err
	}
	var d v1alpha1.WebhookDelivery
	if err := json.Unmarshal(body, &d); err != nil {
		return outcome{}, "", err
	}
	return outcomeOf(&d), d.Name, nil
}

func outcomeOf(d *v1alpha1.WebhookDelivery) outcome {
	o := outcome{
		Phase: string(d.Status.Phase), Reason: d.Status.Reason, Message: d.Status.Message, Source: d.Spec.Source,
		Events: d.Spec.Events, Targets: d.Status.Targets, Conditions: map[string]string{},
	}
	if d.Status.Sender != nil {
		o.Method = d.Status.Sender.Method
	}
	for _, c := range d.Status.Conditions {
		o.Conditions[c.Type] = string(c.Status)
	}
	if d.Status.Repeats != nil {
		o.Repeats = d.Status.Repeats.Count
	}
	return o
}

// compareOutcome returns how an outcome differs from the expected one.
func compareOutcome(want fieldcase.Outcome, got outcome) []string {
	var differences []string
	for _, field := range []struct{ name, want, got string }{
		{"phase", string(want.Phase), got.Phase}, {"reason", want.Reason, got.Reason},
		{"source", want.Source, got.Source}, {"method", want.Method, got.Method},
	} {
		if field.want != "" && field.want != field.got {
			differences = append(differences, fmt.Sprintf("%s: want %q, got %q", field.name, field.want, field.got))
		}
	}
	if !strings.Contains(got.Message, want.Message) {
		differences = append(differences, fmt.Sprintf("message: want %q in %q", want.Message, got.Message))
	}
	add := func(name string, want, got any) {
		differences = append(differences, fieldcase.Diff(map[string]any{name: want}, map[string]any{name: got}, nil)...)
	}
	if want.Events != nil {
		add("events", want.Events, orEmpty(got.Events))
	}
	if want.Targets != nil {
		slices.SortStableFunc(want.Targets, func(a, b map[string]any) int {
			return cmp.Or(compareField(a, b, "kind"), compareField(a, b, "name"))
		})
		slices.SortStableFunc(got.Targets, func(a, b v1alpha1.TargetResult) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
		})
		add("targets", want.Targets, orEmpty(got.Targets))
	}
	if want.Conditions != nil {
		add("conditions", want.Conditions, got.Conditions)
	}
	if want.Repeats != nil {
		add("repeats", *want.Repeats, got.Repeats)
	}
	return differences
}

func compareField(a, b map[string]any, name string) int {
	return strings.Compare(fmt.Sprint(a[name]), fmt.Sprint(b[name]))
}

// orEmpty returns a list that is not nil, since JSON distinguishes them.
func orEmpty[T any](list []T) []T { return append([]T{}, list...) }

// checkRecord compares the record of the delivery of a step.
func (r *runner) checkRecord(step string, want fieldcase.Outcome) []string {
	d, err := r.suite.Deliveries.PosternV1alpha1().WebhookDeliveries(r.Namespace).Get(r.T.Context(),
		r.delivered[step], metav1.GetOptions{})
	if err != nil {
		return []string{"record: " + err.Error()}
	}
	differences := compareOutcome(want, outcomeOf(d))
	for i := range differences {
		differences[i] = "record: " + differences[i]
	}
	return differences
}

// checkState compares what is in the cluster. before has the same objects before the step.
func (r *runner) checkState(want fieldcase.State, before map[string]any) []string {
	var differences []string
	for name, part := range want.Objects {
		for _, line := range fieldcase.Diff(part, r.objects.get(name), before[name]) {
			differences = append(differences, name+" "+line)
		}
	}
	slices.Sort(differences)
	if want.Records != nil {
		list, err := r.suite.Deliveries.PosternV1alpha1().WebhookDeliveries(r.Namespace).List(r.T.Context(),
			metav1.ListOptions{})
		switch {
		case err != nil:
			differences = append(differences, err.Error())
		case len(list.Items) != *want.Records:
			differences = append(differences, fmt.Sprintf("records: want %d, got %d", *want.Records, len(list.Items)))
		}
	}
	if want.Events != nil {
		differences = append(differences, r.checkEvents(want.Events)...)
	}
	return differences
}

// checkEvents returns the expected Kubernetes Events that do not exist, or, if the list is empty, those that do.
func (r *runner) checkEvents(want []fieldcase.Event) []string {
	list, err := r.suite.Kube.EventsV1().Events(r.Namespace).List(r.T.Context(), metav1.ListOptions{})
	if err != nil {
		return []string{err.Error()}
	}
	var differences, found []string
	for _, e := range list.Items {
		found = append(found, fmt.Sprintf("%s %s of %s/%s: %s", e.Type, e.Reason, e.Regarding.Kind, e.Regarding.Name,
			e.Note))
	}
	if len(want) == 0 && len(found) > 0 {
		return []string{"kubernetesEvents: want none, got " + strings.Join(found, "; ")}
	}
	for _, w := range want {
		if !slices.ContainsFunc(list.Items, func(e eventsv1.Event) bool { return isEvent(w, e) }) {
			differences = append(differences, fmt.Sprintf("kubernetesEvents: want %+v, got %s", w,
				cmp.Or(strings.Join(found, "; "), "none")))
		}
	}
	return differences
}

func isEvent(want fieldcase.Event, got eventsv1.Event) bool {
	return (want.Type == "" || want.Type == got.Type) &&
		(want.Reason == "" || want.Reason == got.Reason) &&
		(want.Regarding == "" || want.Regarding == got.Regarding.Kind+"/"+got.Regarding.Name) &&
		strings.Contains(got.Note, want.Note)
}
