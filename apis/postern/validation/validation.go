// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package validation checks deliveries at three points: as a client sends them, after admission, and before storage.
// Each check reports all errors at once.
package validation

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
	"postern.dev/postern/pkg/secretheader"
	"postern.dev/postern/pkg/text"
)

const (
	// maxHeaders and maxHeaderBytes bound the headers of an object, far above the headers of any sender.
	maxHeaders     = 64
	maxHeaderBytes = 4 << 10
	// maxFieldBytes bounds each string of an event, such as a URL or delivery id, and maxEventBytes all strings
	// together. They may take six times as much in JSON, and etcd accepts 1.5 MiB by default.
	maxFieldBytes = 2 << 10
	maxEventBytes = 128 << 10
)

var (
	refTypes = []postern.RefType{postern.RefTypeBranch, postern.RefTypeTag, postern.RefTypeCommit,
		postern.RefTypeImage, postern.RefTypePullRequest}

	specPath   = field.NewPath("spec")
	eventsPath = specPath.Child("events")
)

// ValidateNew checks a delivery as a client sends it. sources are the types of sender.
func ValidateNew(d *postern.WebhookDelivery, sources []string, maxPayloadBytes int64) field.ErrorList {
	errs := validateName(d)
	errs = append(errs, validateMetadata(d)...)
	errs = append(errs, validateNoResourceVersion(d)...)
	errs = append(errs, validateSource(d.Spec.Source, sources)...)
	errs = append(errs, validateTarget(d.Spec.Target)...)
	errs = append(errs, validateContent(&d.Spec, maxPayloadBytes)...)
	errs = append(errs, validateHeaders(d.Spec.Headers)...)
	if len(d.Spec.Events) > 0 {
		errs = append(errs, field.Forbidden(eventsPath, "the server fills it from payload, rawPayload or ref"))
	}
	if d.Spec.RedeliveryOf != "" {
		errs = append(errs, field.Forbidden(specPath.Child("redeliveryOf"),
			"the server sets it: POST to the redeliver subresource of the delivery"))
	}
	return errs
}

// ValidateAdmitted checks a delivery after mutating admission against the one received. Admission policies may rewrite
// events and add labels and annotations; they may not turn the delivery into another one.
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

// ValidateRecord checks a delivery before its record is created: received, admitted, and without its payload. CheckSize
// checks its size.
func ValidateRecord(d *postern.WebhookDelivery) field.ErrorList {
	errs := validateName(d)
	errs = append(errs, validateMetadata(d)...)
	errs = append(errs, validateNoResourceVersion(d)...)
	errs = append(errs, validateTarget(d.Spec.Target)...)
	errs = append(errs, ValidateDropped(d)...)
	if len(d.Spec.Events) > postern.MaxEvents {
		errs = append(errs, field.TooMany(eventsPath, len(d.Spec.Events), postern.MaxEvents))
	}
	if eventsSize(d.Spec.Events) > maxEventBytes {
		errs = append(errs, field.TooLong(eventsPath, "", maxEventBytes))
	}
	for i := range d.Spec.Events {
		errs = append(errs, validateEvent(&d.Spec.Events[i], eventsPath.Index(i))...)
	}
	return errs
}

// ValidateDropped checks that the payload and the headers with secrets have been dropped. It is the only check of a
// record that is stored again: the outcome of a delivery must be storable, even if the record would be invalid now.
func ValidateDropped(d *postern.WebhookDelivery) field.ErrorList {
	var errs field.ErrorList
	if d.Spec.Payload != nil || d.Spec.RawPayload != nil {
		errs = append(errs, field.InternalError(specPath, errPayloadNotDropped))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Spec.Headers)) {
		if secretheader.Is(name) {
			errs = append(errs, field.InternalError(specPath.Child("headers").Key(name), errSecretNotDropped))
		}
	}
	return errs
}

func validateSource(source string, known []string) field.ErrorList {
	if source == "" || slices.Contains(known, source) {
		return nil
	}
	return field.ErrorList{field.NotSupported(specPath.Child("source"), shorten(source), known)}
}

func validateTarget(target *postern.TargetReference) field.ErrorList {
	if target == nil {
		return nil // for all targets that follow the pushed image or ref
	}
	path := specPath.Child("target")
	var errs field.ErrorList
	if target.Kind.Resource() == "" {
		errs = append(errs, field.NotSupported(path.Child("kind"), postern.TargetKind(shorten(string(target.Kind))),
			postern.TargetKinds()))
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
	} else if err := naming.ValidateRef(e.Ref, e.RefType); err != nil {
		errs = append(errs, field.Invalid(path.Child("ref"), shorten(e.Ref), err.Error()))
	}
	switch {
	case e.RefType != "" && !slices.Contains(refTypes, e.RefType):
		errs = append(errs, field.NotSupported(path.Child("refType"), e.RefType, refTypes))
	case (e.RefType == postern.RefTypeImage) != (e.Image != nil):
		// Otherwise the tag of an image could be written as a git ref.
		errs = append(errs, field.Invalid(path.Child("refType"), e.RefType,
			"must be Image if and only if image is set"))
	}
	for _, f := range textFields(e) {
		if len(f.value) > maxFieldBytes {
			errs = append(errs, field.TooLong(path.Child(f.name), "", maxFieldBytes))
		}
	}
	return append(errs, validateChangedFiles(e, path)...)
}

// validateChangedFiles checks the changed files of an event. Of the ones that are not valid it reports the first.
func validateChangedFiles(e *postern.DeliveryEvent, path *field.Path) field.ErrorList {
	files := path.Child("changedFiles")
	if len(e.ChangedFiles) > 0 && e.ChangedFilesTruncated {
		return field.ErrorList{field.Invalid(path.Child("changedFilesTruncated"), true,
			"must not be set with changedFiles, which are then all")}
	}
	if len(e.ChangedFiles) > postern.MaxChangedFiles {
		return field.ErrorList{field.TooMany(files, len(e.ChangedFiles), postern.MaxChangedFiles)}
	}
	size := 0
	for i, file := range e.ChangedFiles {
		if size += len(file); size > postern.MaxChangedFilesBytes {
			return field.ErrorList{field.TooLong(files, "", postern.MaxChangedFilesBytes)}
		}
		if !naming.IsCleanPath(file) {
			return field.ErrorList{field.Invalid(files.Index(i), shorten(file),
				"must be a path below the root of the repository, without . and .. and control characters")}
		}
	}
	return nil
}

type textField struct{ name, value string }

// textFields returns the fields of an event that may have any text.
func textFields(e *postern.DeliveryEvent) []textField {
	return []textField{
		{"source", e.Source}, {"event", e.Event}, {"repository", e.Repository}, {"sshURL", e.SSHURL},
		{"repositoryID", e.RepositoryID},
		{"revision", e.Revision}, {"deliveryID", e.DeliveryID}, {"passed", e.Passed},
	}
}

func eventsSize(events []postern.DeliveryEvent) int {
	size := 0
	for i := range events {
		for _, f := range textFields(&events[i]) {
			size += len(f.value)
		}
		size += len(events[i].Ref)
		for _, file := range events[i].ChangedFiles {
			size += len(file)
		}
		if image := events[i].Image; image != nil {
			size += len(image.Host) + len(image.Repository) + len(image.Tag) + len(image.Digest)
		}
	}
	return size
}

// validateImage checks that the name of an image is complete and that the ref matches it: a policy may have rewritten
// either.
func validateImage(e *postern.DeliveryEvent, path *field.Path) field.ErrorList {
	image := *e.Image
	normalized, err := naming.NormalizeImage(image)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(path.Child("image"), field.OmitValueType{}, err.Error())}
	case normalized != image:
		return field.ErrorList{field.Invalid(path.Child("image"), shorten(image.String()),
			"the full name is "+normalized.String())}
	case image.Tag == "" && image.Digest == "":
		return field.ErrorList{field.Required(path.Child("ref"), "an image needs a tag or a digest")}
	case e.Ref != cmp.Or(image.Tag, image.Digest):
		return field.ErrorList{field.Invalid(path.Child("ref"), shorten(e.Ref),
			"is not the tag of the image: rewrite both or neither")}
	}
	return nil
}

// maxQuotedBytes is how much of an invalid value an error repeats.
const maxQuotedBytes = 64

// shorten bounds the length of an invalid value in an error.
func shorten(s string) string { return text.Truncate(s, maxQuotedBytes) }
