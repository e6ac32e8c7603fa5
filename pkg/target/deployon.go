// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postern.dev/postern/pkg/text"
)

// AnnotationDeployOn is set by the owner of a target that takes git refs from some events only. It lists them,
// separated by commas: the names of events, or what a commit has to pass, such as "workflow_run:CI". Without the
// annotation, a target takes all events except those of a commit that passed something.
const AnnotationDeployOn = "postern.dev/deploy-on"

// maxDeployOnBytes bounds the annotation. A longer one lists nothing.
const maxDeployOnBytes = 1024

// checkDeployOn returns the decision about a request for a git ref whose event the target's owner does not deploy on;
// otherwise nil. A redelivery on purpose overrides it, and Helm charts are not subject to it.
func (b *patchBuilder) checkDeployOn() *decision {
	if b.request.Image != nil || b.request.isChart() || b.request.Override {
		return nil
	}
	annotations := b.readAnnotations(AnnotationDeployOn)
	if deploysOn(annotations, b.request) {
		return nil
	}
	message := fmt.Sprintf("%s is an event that needs the annotation %s of the target to list it",
		text.Quote(b.request.deployEvent()), AnnotationDeployOn)
	if listed, present := annotations[AnnotationDeployOn]; present {
		message = fmt.Sprintf("the annotation %s of the target is %s, which does not list %s", AnnotationDeployOn,
			text.Quote(listed), text.Quote(b.request.deployEvent()))
	}
	d := b.conclude(ReasonNotDeployedOn, message)
	return &d
}

// deploysOn reports whether the annotations of a target let it take a request for a git ref. An entry is a whole event,
// such as "workflow_run:CI" or "release.published", or its first part.
func deploysOn(annotations map[string]string, r Request) bool {
	list, present := annotations[AnnotationDeployOn]
	if !present {
		return r.Passed == ""
	}
	if len(list) > maxDeployOnBytes {
		return false
	}
	event := r.deployEvent()
	first, _, _ := strings.Cut(event, ".")
	if r.Passed != "" {
		first, _, _ = strings.Cut(event, ":")
	}
	return slices.ContainsFunc(strings.Split(list, ","), func(entry string) bool {
		entry = strings.TrimSpace(entry)
		return entry == event || entry == first
	})
}

// deployEvent returns the event of a request as AnnotationDeployOn lists it.
func (r Request) deployEvent() string { return cmp.Or(r.Passed, r.Event) }
