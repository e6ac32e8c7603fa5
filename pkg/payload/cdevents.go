// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"strings"

	"postern.dev/postern/apis/postern"
)

// cdEventPrefix is the prefix of the types of CDEvents, which are CloudEvents with data of their own. It is followed by
// the subject, the predicate and the version of the event:
// https://github.com/cdevents/spec/blob/main/spec.md#type-context
const cdEventPrefix = "dev.cdevents."

// cdEvent contains the used fields of a CDEvent, which are the same since version 0.3 of the specification:
// https://github.com/cdevents/spec/blob/main/spec.md
// https://github.com/cdevents/spec/blob/main/cloudevents-binding.md
type cdEvent struct {
	Context struct {
		Type string `json:"type"`
		// Timestamp should also be the time of the CloudEvent, but the SDK of CDEvents for Go sets none there, and that
		// of CloudEvents then sets the time of sending.
		Timestamp timestamp `json:"timestamp"`
	} `json:"context"`
	Subject struct {
		ID string `json:"id"` // of an artifact, its package URL
	} `json:"subject"`
}

// decodeCDEvent decodes an event of a delivery whose type has cdEventPrefix. Only a published artifact can be deployed.
//
// No event about git requests a ref: none has a commit, a change does not name the branch into which it was merged, and
// no event tells of a push to a branch that exists.
func decodeCDEvent(delivery message, e cloudEvent, out *Decoded) error {
	switch subject, predicate := splitCDEventType(e.Type); {
	case subject == "artifact" && predicate == "published":
		return decodePublishedArtifact(delivery, e, out)
	case predicate == "deleted":
		out.ignore(IgnoredRefDeleted, "the CDEvent %s tells of something that was deleted", quote(e.Type))
	case subject == "artifact":
		out.ignore(IgnoredAction, "an artifact was %s; only published counts", quote(predicate))
	case subject == "branch" || subject == "change" || subject == "repository":
		out.ignore(IgnoredEvent, "the CDEvent %s names no commit of a branch; let the git host send its own webhook",
			quote(e.Type))
	default:
		out.ignore(IgnoredEvent, "the CDEvent %s asks for no image; send published artifacts", quote(e.Type))
	}
	return nil
}

// splitCDEventType returns the subject and the predicate in the type of a CDEvent.
func splitCDEventType(eventType string) (subject, predicate string) {
	subject, rest, _ := strings.Cut(strings.TrimPrefix(eventType, cdEventPrefix), ".")
	predicate, _, _ = strings.Cut(rest, ".")
	return subject, predicate
}

func decodePublishedArtifact(delivery message, e cloudEvent, out *Decoded) error {
	data, err := e.data()
	if err != nil {
		return err
	}
	p, err := decodeAs[cdEvent](data)
	switch {
	case err != nil:
		return err
	case p.Context.Type != e.Type:
		return refuse(ErrorInvalidField, "data.context.type must be the type of the CloudEvent, %s, not %s",
			quote(e.Type), quote(p.Context.Type))
	case p.Subject.ID == "":
		return missing("data.subject.id", "it is the package URL of the artifact")
	case !isImagePackage(p.Subject.ID):
		out.ignore(IgnoredNotAnImage, "the artifact %s is no image: its package URL is not of the type oci or docker",
			quote(p.Subject.ID))
		return nil
	}
	image, err := parseImagePackage(p.Subject.ID)
	if err != nil {
		return err
	}
	image.Host, image.Repository, err = delivery.pullReference(registry{host: image.Host}, image.Repository)
	if err != nil {
		return err
	}
	if err := require("repository_url in the package URL, or registry_url in the URL", image.Host); err != nil {
		return err
	}
	at := cmp.Or(p.Context.Timestamp.microTime(), e.Time.microTime())
	out.addImage(postern.DeliveryEvent{Event: e.Type, DeliveryID: e.ID, Time: at}, image)
	return nil
}
