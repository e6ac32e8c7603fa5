// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package story tells what happened to a delivery: what it was, what Postern decided, and what has become of its
// targets since then.
package story

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/text"
)

// Story is what is known about one delivery. Its texts may quote the cluster and the sender: what shows them has to
// escape them.
type Story struct {
	Delivery *v1alpha1.WebhookDelivery `json:"delivery"`
	// Summary says in one or two sentences what happened and why, for a user who has never heard of Postern.
	Summary string `json:"summary"`
	// Advice is a command that helps on, empty if there is none.
	Advice  string        `json:"advice,omitempty"`
	Targets []TargetStory `json:"targets"`
	// Events are the newest Kubernetes Events of the delivery, oldest first. Nil if the user may not read them.
	Events []corev1.Event `json:"events,omitempty"`
}

// TargetStory is what happened to one target.
type TargetStory struct {
	v1alpha1.TargetResult `json:",inline"`
	// Explanation says in one sentence why the target got this result.
	Explanation string `json:"explanation"`
	// Changes are the fields that the delivery set, with their values now.
	Changes []Change `json:"changes,omitempty"`
	// CurrentRef is the ref that the target has now. Empty if unknown.
	CurrentRef string `json:"currentRef,omitempty"`
	// SupersededBy is the name of the delivery that wrote the target later, if there is one.
	SupersededBy string `json:"supersededBy,omitempty"`
	// Problem says why the target could not be read now. Empty if it was read.
	Problem string `json:"problem,omitempty"`
}

// Change is a field that a delivery set.
type Change struct {
	Field string `json:"field"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
	// Now is the value that the field has now. It is the new value if the target could not be read.
	Now string `json:"now,omitempty"`
}

// Held reports whether the field still has the value that the delivery set.
func (c Change) Held() bool { return c.Now == c.New }

// TakenBack returns the condition that says who changed the target of a delivery soon after it was written; nil if it
// was not changed.
func TakenBack(d *v1alpha1.WebhookDelivery) *metav1.Condition {
	for i, c := range d.Status.Conditions {
		// Records of older servers have it under another name.
		isKept := c.Type == v1alpha1.ConditionKept || c.Type == v1alpha1.ConditionHeld && c.Reason == "TakenBack"
		if isKept && c.Status == metav1.ConditionFalse {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}

// maxTargetsRead bounds the targets of a delivery that are read, and targetsAtOnce how many at a time.
const (
	maxTargetsRead = 50
	targetsAtOnce  = 8
)

// Tell returns the story of delivery. What the user may not read is left out.
func Tell(ctx context.Context, cluster *cli.Cluster, delivery *v1alpha1.WebhookDelivery) (*Story, error) {
	s := &Story{Delivery: delivery, Targets: make([]TargetStory, len(delivery.Status.Targets))}
	live := make([]*liveTarget, len(s.Targets))
	var reads errgroup.Group
	reads.SetLimit(targetsAtOnce)
	for i := range s.Targets {
		s.Targets[i].TargetResult = delivery.Status.Targets[i]
		if i >= maxTargetsRead {
			s.Targets[i].Problem = "it was not read, because the delivery has many targets"
			continue
		}
		reads.Go(func() error {
			t := &s.Targets[i]
			live[i], t.Problem = readTarget(ctx, cluster, delivery.Namespace, t.Kind, t.Name)
			return nil
		})
	}
	reads.Go(func() error {
		s.Events = eventsOf(ctx, cluster, delivery)
		return nil
	})
	_ = reads.Wait() // the functions return no error
	for i := range s.Targets {
		s.Targets[i].compare(live[i])
	}
	findSuccessors(ctx, cluster, s)
	for i := range s.Targets {
		s.Targets[i].explain(live[i])
	}
	s.summarize()
	s.Advice = advice(cluster.Flags, delivery)
	return s, ctx.Err()
}

// maxValueBytes is the length to which the server cuts values of changes off. Values now are cut off alike.
const maxValueBytes = 512

// compare sets what the target has now; nil if it could not be read.
func (t *TargetStory) compare(live *liveTarget) {
	if live != nil {
		t.CurrentRef = live.ref()
	}
	for _, changed := range t.TargetResult.Changes {
		c := Change{Field: changed.Field, Old: changed.Old, New: changed.New, Now: changed.New}
		if live != nil {
			c.Now = text.Truncate(live.now(changed), maxValueBytes)
		}
		t.Changes = append(t.Changes, c)
	}
}

// isHeld reports whether the delivery reached the target.
func isHeld(r v1alpha1.TargetResult) bool {
	return r.Result == v1alpha1.TargetWritten || r.Result == v1alpha1.TargetUnchanged
}

// isReplaced reports whether the target has something else than the delivery wants.
func (t *TargetStory) isReplaced() bool {
	switch {
	case t.Result == v1alpha1.TargetSuperseded:
		return true
	case t.Problem != "" || !isHeld(t.TargetResult):
		return false
	case len(t.Changes) > 0:
		return slices.ContainsFunc(t.Changes, func(c Change) bool { return !c.Held() })
	}
	return t.CurrentRef != t.Ref && t.PreviousRef == t.Ref
}
