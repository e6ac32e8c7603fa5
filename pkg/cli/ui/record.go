// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/text"
)

const (
	// maxText bounds a text of a record, in bytes.
	maxText = 256
	// maxRefs is how many refs of a delivery are shown in a row.
	maxRefs = 3
	// rowTargets is how many targets of a delivery are shown in a row.
	rowTargets = 2
	// maxTargets is how many targets of a delivery are kept, to be searched.
	maxTargets = 20
)

// record is what the page keeps of a delivery, a few hundred bytes. It does not change once it is made.
type record struct {
	metav1.ObjectMeta

	Received time.Time
	Source   string
	Phase    v1alpha1.DeliveryPhase
	Reason   string
	Ref      string
	Sender   string
	Method   string
	// Targets are the targets that were named or found, without those that do not follow what was requested, as
	// application/shop. At most maxTargets.
	Targets []string
	// MoreTargets is the number of targets beyond.
	MoreTargets int
	Repeats     int64
}

// GetObjectKind returns no kind.
func (*record) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns r, since it does not change.
func (r *record) DeepCopyObject() runtime.Object { return r }

// trim makes the record of a delivery.
func trim(d *v1alpha1.WebhookDelivery) *record {
	r := &record{
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Name, Namespace: intern(d.Namespace), UID: d.UID, ResourceVersion: d.ResourceVersion,
		},
		Received: cli.ReceivedAt(d),
		Source:   intern(d.Spec.Source),
		Phase:    v1alpha1.DeliveryPhase(intern(string(d.Status.Phase))),
		Reason:   intern(d.Status.Reason),
		Ref:      text.Truncate(refs(d.Spec.Events), maxText),
	}
	if d.Status.Sender != nil {
		r.Sender, r.Method = intern(d.Status.Sender.Name), intern(d.Status.Sender.Method)
	}
	if d.Status.Repeats != nil {
		r.Repeats = d.Status.Repeats.Count
	}
	targets := targetsOf(d)
	r.Targets = slices.Clone(targets[:min(len(targets), maxTargets)])
	r.MoreTargets = len(targets) - len(r.Targets)
	return r
}

// Hidden is the number of targets that a row does not show.
func (r *record) Hidden() int { return max(0, len(r.Targets)-rowTargets) + r.MoreTargets }

// SenderName returns the sender in short: a ServiceAccount as namespace/name.
func (r *record) SenderName() string {
	if account, isAccount := strings.CutPrefix(r.Sender, "system:serviceaccount:"); isAccount {
		return strings.Replace(account, ":", "/", 1)
	}
	return r.Sender
}

// intern returns a bounded text that shares its memory with all equal ones.
func intern(s string) string { return unique.Make(text.Truncate(s, maxText)).Value() }

func targetsOf(d *v1alpha1.WebhookDelivery) []string {
	if t := d.Spec.Target; t != nil {
		return []string{targetName(t.Kind, t.Name)}
	}
	var targets []string
	for _, t := range d.Status.Targets {
		if t.Result != v1alpha1.TargetSkipped {
			targets = append(targets, targetName(t.Kind, t.Name))
		}
	}
	slices.Sort(targets) // a target is listed once per ref
	return slices.Compact(targets)
}

func targetName(kind v1alpha1.TargetKind, name string) string {
	return unique.Make(cli.TargetName(kind, name)).Value() // Kubernetes bounds names
}

// refs returns the requested refs and images in short.
func refs(events []v1alpha1.DeliveryEvent) string {
	var all []string
	for _, e := range events[:min(len(events), maxRefs)] {
		all = append(all, refOf(e))
	}
	if more := len(events) - maxRefs; more > 0 {
		all = append(all, fmt.Sprintf("+%d", more))
	}
	return strings.Join(all, ", ")
}

func refOf(e v1alpha1.DeliveryEvent) string {
	if e.Image == nil {
		return e.Ref
	}
	image := e.Image.Repository
	if e.Image.Host != "" && e.Image.Host != "docker.io" {
		image = e.Image.Host + "/" + image
	}
	switch {
	case e.Image.Tag != "":
		return image + ":" + e.Image.Tag
	case e.Image.Digest != "":
		return image + "@" + e.Image.Digest
	}
	return image
}
