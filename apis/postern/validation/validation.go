// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package validation checks deliveries at the three points where something could have gone wrong: what a client sends,
// what admission made of it, and what is about to be stored. Each check reports everything that is wrong at once.
package validation

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

const (
	// maxEvents bounds what one payload may ask for, and with it the size of a record.
	maxEvents = 256
	// maxHeaders and maxHeaderBytes bound the headers of an object; no sender's headers come near.
	maxHeaders     = 64
	maxHeaderBytes = 4 << 10
	// maxFieldBytes bounds each string of an event: URLs, delivery ids and the like; maxEventBytes all of them. In JSON they
	// may take six times as much, and etcd takes 1.5 MiB by default.
	maxFieldBytes = 2 << 10
	maxEventBytes = 128 << 10
)

var (
	targetKinds = []postern.TargetKind{postern.TargetApplication, postern.TargetGatewaySync}
	refTypes    = []postern.RefType{postern.RefTypeBranch, postern.RefTypeTag, postern.RefTypeCommit, postern.RefTypeImage}

	specPath   = field.NewPath("spec")
	eventsPath = specPath.Child("events")
)

// ValidateNew checks a delivery as a client sends it, before anything was done with it.
func ValidateNew(d *postern.WebhookDelivery, maxPayloadBytes int64) field.ErrorList {
	errs := validateName(d)
	errs = append(errs, validateMetadata(d)...)
	errs = append(errs, validateSource(d.Spec.Source)...)
	errs = append(errs, validateTarget(d.Spec.Target)...)
	errs = append(errs, validateContent(&d.Spec, maxPayloadBytes)...)
	errs = append(errs, validateHeaders(d.Spec.Headers)...)
	if len(d.Spec.Events) > 0 {
		errs = append(errs, field.Forbidden(eventsPath, "the server fills it from payload, rawPayload or ref"))
	}
	if d.Spec.RedeliveryOf != "" {
		errs = append(errs, field.Forbidden(specPath.Child("redeliveryOf"), "the server sets it: POST to the redeliver subresource of the delivery"))
	}
	return errs
}

// ValidateAdmitted checks what mutating admission made of a delivery, given what it was before. Admission policies may
// rewrite what is requested and add labels and annotations; they may not turn the delivery into another one.
func ValidateAdmitted(d, received *postern.WebhookDelivery) field.ErrorList {
	const message = "admission may change spec.events, labels and annotations only"
	var errs field.ErrorList
	allowed := received.Spec
	allowed.Events = d.Spec.Events
	if !equality.Semantic.DeepEqual(d.Spec, allowed) {
		errs = append(errs, field.Forbidden(specPath, message))
	}
	if !equality.Semantic.DeepEqual(d.Status, received.Status) {
		errs = append(errs, field.Forbidden(field.NewPath("status"), message))
	}
	if d.Name != received.Name || d.GenerateName != received.GenerateName || d.Namespace != received.Namespace {
		errs = append(errs, field.Forbidden(metadataPath, message))
	}
	return append(errs, ValidateRecord(d)...)
}

// ValidateRecord checks a delivery as a record of it is made: received, admitted, and without its payload. CheckSize checks
// how large it is.
func ValidateRecord(d *postern.WebhookDelivery) field.ErrorList {
	errs := validateName(d)
	errs = append(errs, validateMetadata(d)...)
	errs = append(errs, validateTarget(d.Spec.Target)...)
	errs = append(errs, ValidateDropped(d)...)
	if len(d.Spec.Events) > maxEvents {
		errs = append(errs, field.TooMany(eventsPath, len(d.Spec.Events), maxEvents))
	}
	if eventsSize(d.Spec.Events) > maxEventBytes {
		errs = append(errs, field.TooLong(eventsPath, "", maxEventBytes))
	}
	for i := range d.Spec.Events {
		errs = append(errs, validateEvent(&d.Spec.Events[i], eventsPath.Index(i))...)
	}
	return errs
}

// ValidateDropped checks that nothing is stored which must not be: the payload, and headers that hold a secret. It is all
// that is checked of a record which is stored again: what came of a delivery must be storable, whatever has been
// stored of it before.
func ValidateDropped(d *postern.WebhookDelivery) field.ErrorList {
	var errs field.ErrorList
	if d.Spec.Payload != nil || d.Spec.RawPayload != nil {
		errs = append(errs, field.InternalError(specPath, errPayloadNotDropped))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Spec.Headers)) {
		if credential.IsSecretHeader(name) {
			errs = append(errs, field.InternalError(specPath.Child("headers").Key(name), errSecretNotDropped))
		}
	}
	return errs
}

// validateFinalizers refuses all: nothing can be updated, so no controller could ever take one off again.
func validateFinalizers(d *postern.WebhookDelivery) field.ErrorList {
	if len(d.Finalizers) == 0 {
		return nil
	}
	return field.ErrorList{field.Forbidden(metadataPath.Child("finalizers"), "a delivery can't have any")}
}

func validateSource(source string) field.ErrorList {
	if source == "" || slices.Contains(payload.Sources(), source) {
		return nil
	}
	return field.ErrorList{field.NotSupported(specPath.Child("source"), shorten(source), payload.Sources())}
}

func validateTarget(target *postern.TargetReference) field.ErrorList {
	if target == nil {
		return nil // for whatever wants it
	}
	path := specPath.Child("target")
	var errs field.ErrorList
	if !slices.Contains(targetKinds, target.Kind) {
		errs = append(errs, field.NotSupported(path.Child("kind"), postern.TargetKind(shorten(string(target.Kind))), targetKinds))
	}
	if target.Name == "" {
		return append(errs, field.Required(path.Child("name"), ""))
	}
	return append(errs, validateSubdomain(path.Child("name"), target.Name, false)...)
}

func validateEvent(e *postern.DeliveryEvent, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e.Source == "" {
		errs = append(errs, field.Required(path.Child("source"), ""))
	}
	if e.Image != nil {
		errs = append(errs, validateImage(e, path)...)
	} else if err := payload.ValidateRef(e.Ref); err != nil {
		errs = append(errs, field.Invalid(path.Child("ref"), shorten(e.Ref), err.Error()))
	}
	switch {
	case e.RefType != "" && !slices.Contains(refTypes, e.RefType):
		errs = append(errs, field.NotSupported(path.Child("refType"), e.RefType, refTypes))
	case (e.RefType == postern.RefTypeImage) != (e.Image != nil): // or the tag of an image would pass for a git ref
		errs = append(errs, field.Invalid(path.Child("refType"), e.RefType, "it must be Image with an image, and only then"))
	}
	for _, f := range textFields(e) {
		if len(f.value) > maxFieldBytes {
			errs = append(errs, field.TooLong(path.Child(f.name), "", maxFieldBytes))
		}
	}
	return errs
}

type textField struct{ name, value string }

// textFields are the fields of an event that may hold any text.
func textFields(e *postern.DeliveryEvent) []textField {
	return []textField{
		{"source", e.Source}, {"event", e.Event}, {"repository", e.Repository}, {"revision", e.Revision}, {"deliveryID", e.DeliveryID},
	}
}

func eventsSize(events []postern.DeliveryEvent) int {
	size := 0
	for i := range events {
		for _, f := range textFields(&events[i]) {
			size += len(f.value)
		}
		size += len(events[i].Ref)
		if image := events[i].Image; image != nil {
			size += len(image.Host) + len(image.Repository) + len(image.Tag) + len(image.Digest)
		}
	}
	return size
}

// validateImage checks that an image is named in full, and that the ref says the same: a policy may have rewritten either.
func validateImage(e *postern.DeliveryEvent, path *field.Path) field.ErrorList {
	image := payload.Image(*e.Image)
	normalized, err := payload.NormalizeImage(image)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(path.Child("image"), field.OmitValueType{}, err.Error())}
	case normalized != image:
		return field.ErrorList{field.Invalid(path.Child("image"), shorten(image.String()), "the full name is "+normalized.String())}
	case image.Tag == "" && image.Digest == "":
		return field.ErrorList{field.Required(path.Child("ref"), "an image needs a tag or a digest")}
	case e.Ref != cmp.Or(image.Tag, image.Digest):
		return field.ErrorList{field.Invalid(path.Child("ref"), shorten(e.Ref), "it is not the tag of the image: rewrite both or none")}
	}
	return nil
}

// maxQuotedBytes is how much of a hostile value an error repeats.
const maxQuotedBytes = 64

// shorten keeps an error about a hostile value short.
func shorten(s string) string {
	if len(s) <= maxQuotedBytes {
		return s
	}
	return s[:maxQuotedBytes] + "..."
}
