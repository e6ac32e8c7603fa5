// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"cmp"
	"slices"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// subject is what advice is about: a delivery and the result that needs most attention, nil if there is none.
type subject struct {
	// flags select the cluster in commands.
	flags    []string
	delivery *v1alpha1.WebhookDelivery
	result   *v1alpha1.TargetResult
}

// advice returns a command that helps on with a delivery; empty if nothing has to be done.
func advice(flags []string, d *v1alpha1.WebhookDelivery) string {
	s := subject{flags, d, worstResult(d)}
	name := d.Status.Reason
	if s.result != nil {
		name = cmp.Or(s.result.Reason, name)
	}
	if advise := reasons[name].advise; advise != nil {
		return advise(s)
	}
	return ""
}

// worstResult returns the result that needs most attention; nil if there is none. A delivery that was applied has
// reached what it was for, even if it skipped others.
func worstResult(d *v1alpha1.WebhookDelivery) *v1alpha1.TargetResult {
	if d.Status.Phase == v1alpha1.DeliveryApplied {
		return nil
	}
	for _, kind := range []v1alpha1.TargetResultType{
		v1alpha1.TargetFailed, v1alpha1.TargetPending, v1alpha1.TargetHeld, v1alpha1.TargetSuperseded,
		v1alpha1.TargetSkipped,
	} {
		isKind := func(r v1alpha1.TargetResult) bool { return r.Result == kind }
		if i := slices.IndexFunc(d.Status.Targets, isKind); i >= 0 {
			return &d.Status.Targets[i]
		}
	}
	return nil
}

// kubectl returns a command line about the namespace of the delivery.
func (s subject) kubectl(words ...string) string {
	words = append([]string{"kubectl"}, words...)
	return cli.Command(append(append(words, "-n", s.delivery.Namespace), s.flags...)...)
}

// postern returns a command line of this plugin.
func (s subject) postern(words ...string) string {
	return s.kubectl(append([]string{"postern"}, words...)...)
}

// target returns the target of the result or, without one, the target that the delivery names, as an argument; empty if
// there is none.
func (s subject) target() string {
	switch {
	case s.result != nil:
		return cli.TargetName(s.result.Kind, s.result.Name)
	case s.delivery.Spec.Target != nil:
		return cli.TargetName(s.delivery.Spec.Target.Kind, s.delivery.Spec.Target.Name)
	}
	return ""
}

func (s subject) doctorOfTarget() string {
	if target := s.target(); target != "" {
		return s.postern("doctor", target, "--source", s.delivery.Spec.Source)
	}
	return s.doctorOfSource()
}

func (s subject) doctorOfSource() string {
	return s.postern("doctor", "--source", s.delivery.Spec.Source)
}

func (s subject) urlOfTarget() string {
	if target := s.target(); target != "" {
		return s.postern("url", target, "--source", s.delivery.Spec.Source)
	}
	return ""
}

func (s subject) redeliver() string { return s.postern("redeliver", s.delivery.Name) }

func (s subject) diff() string { return s.postern("diff", s.delivery.Name) }

func (s subject) wait() string {
	return s.kubectl("wait", "--for=condition=Applied", "--timeout=10m",
		"webhookdeliveries.postern.dev/"+s.delivery.Name)
}

// waitOrRedeliver is for a delivery that waits for its turn, or did so for too long.
func (s subject) waitOrRedeliver() string {
	if s.delivery.Status.Phase == v1alpha1.DeliveryPending {
		return s.wait()
	}
	return s.redeliver()
}

// release ends the hold: of the delivery if it has one itself, otherwise of the target.
func (s subject) release() string {
	switch _, own := s.delivery.Annotations[v1alpha1.AnnotationHold]; {
	case own:
		return s.kubectl("annotate", "webhookdeliveries.postern.dev", s.delivery.Name, v1alpha1.AnnotationHold+"-")
	case s.result == nil:
		return ""
	}
	resource := cli.KindOf(s.result.Kind).Resource.GroupResource()
	return s.kubectl("annotate", resource.String(), s.result.Name, v1alpha1.AnnotationHold+"-")
}

// acceptCommits opts a GatewaySync in. An Application can't be made to accept the commits of another repository.
func (s subject) acceptCommits() string {
	if s.result == nil || s.result.Kind != v1alpha1.TargetGatewaySync {
		return ""
	}
	return s.kubectl("annotate", "gatewaysyncs.stoker.io", s.result.Name, "postern.dev/accept-commits=true")
}

// explainImage explains what happened to the image that the result is about.
func (s subject) explainImage() string {
	if s.result == nil || s.result.Kind != v1alpha1.TargetApplication {
		return ""
	}
	events := s.delivery.Spec.Events
	isResult := func(e v1alpha1.DeliveryEvent) bool { return e.Image != nil && e.Ref == s.result.Ref }
	if i := slices.IndexFunc(events, isResult); i >= 0 {
		return s.postern("explain-image", s.result.Name, imageReference(events[i].Image))
	}
	return ""
}

// imageReference returns an image as users write it.
func imageReference(image *v1alpha1.ImageReference) string {
	reference := cli.ImageName(image)
	if image.Tag != "" {
		reference += ":" + image.Tag
	}
	if image.Digest != "" {
		reference += "@" + image.Digest
	}
	return reference
}
