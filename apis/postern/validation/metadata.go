// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"postern.dev/postern/apis/postern"
)

const (
	// maxLabels, maxAnnotations, maxOwnerReferences and maxFinalizers bound how many a delivery may have.
	maxLabels, maxAnnotations, maxOwnerReferences, maxFinalizers = 64, 256, 16, 16
	// maxAnnotationBytes bounds the keys and values of all annotations together. Kubernetes allows four times as much,
	// which would leave no room in a record for anything else.
	maxAnnotationBytes = 64 << 10
	// maxReferenceBytes bounds each field of an owner reference. It is the longest name of a kind with its group.
	maxReferenceBytes = 317
)

var metadataPath = field.NewPath("metadata")

// validateName checks the name of a delivery, or its generateName. Without either the server generates a name. Names
// other than DNS subdomains could not be deleted by kubectl, nor displayed in a terminal.
func validateName(d *postern.WebhookDelivery) field.ErrorList {
	var errs field.ErrorList
	if d.Name != "" {
		errs = append(errs, validateSubdomain(metadataPath.Child("name"), d.Name, false)...)
	}
	if d.GenerateName != "" {
		errs = append(errs, validateSubdomain(metadataPath.Child("generateName"), d.GenerateName, true)...)
	}
	return errs
}

func validateSubdomain(path *field.Path, name string, isPrefix bool) field.ErrorList {
	var errs field.ErrorList
	for _, message := range validation.NameIsDNSSubdomain(name, isPrefix) {
		errs = append(errs, field.Invalid(path, shorten(name), message))
	}
	return errs
}

// validateMetadata checks the metadata that a client or a policy may set, except for the name. For a field with too
// many or too large values it reports only that.
func validateMetadata(d *postern.WebhookDelivery) field.ErrorList {
	var errs field.ErrorList
	checked := metav1.ObjectMeta{Name: "x", Namespace: d.Namespace, Generation: d.Generation}
	for _, list := range []struct {
		name        string
		length, max int
		take        func()
	}{
		{"labels", len(d.Labels), maxLabels, func() { checked.Labels = d.Labels }},
		{"annotations", len(d.Annotations), maxAnnotations, func() { checked.Annotations = d.Annotations }},
		{"ownerReferences", len(d.OwnerReferences), maxOwnerReferences,
			func() { checked.OwnerReferences = d.OwnerReferences }},
		{"finalizers", len(d.Finalizers), maxFinalizers, func() { checked.Finalizers = d.Finalizers }},
	} {
		if list.length > list.max {
			errs = append(errs, field.TooMany(metadataPath.Child(list.name), list.length, list.max))
			continue
		}
		list.take()
	}
	if mapSize(checked.Annotations) > maxAnnotationBytes {
		errs = append(errs, field.TooLong(metadataPath.Child("annotations"), "", maxAnnotationBytes))
		checked.Annotations = nil
	}
	errs = append(errs, validateOwnerReferences(checked.OwnerReferences)...)
	namespaced := d.Namespace != "" // if empty, the request path has it
	return append(errs, shortenErrors(validation.ValidateObjectMeta(&checked, namespaced, validation.NameIsDNSSubdomain,
		metadataPath))...)
}

func validateNoResourceVersion(d *postern.WebhookDelivery) field.ErrorList {
	if d.ResourceVersion == "" {
		return nil
	}
	return field.ErrorList{field.Forbidden(metadataPath.Child("resourceVersion"), "must not be set on create")}
}

func mapSize(texts map[string]string) int {
	size := 0
	for key, value := range texts {
		size += len(key) + len(value)
	}
	return size
}

func validateOwnerReferences(references []metav1.OwnerReference) field.ErrorList {
	var errs field.ErrorList
	for i := range references {
		path, r := metadataPath.Child("ownerReferences").Index(i), &references[i]
		for _, f := range []textField{{"apiVersion", r.APIVersion}, {"kind", r.Kind}, {"name", r.Name},
			{"uid", string(r.UID)}} {
			if len(f.value) > maxReferenceBytes {
				errs = append(errs, field.TooLong(path.Child(f.name), "", maxReferenceBytes))
			}
		}
	}
	return errs
}

// shortenErrors bounds the length of invalid values in errors.
func shortenErrors(errs field.ErrorList) field.ErrorList {
	for _, err := range errs {
		if value := fmt.Sprint(err.BadValue); len(value) > maxQuotedBytes {
			err.BadValue = shorten(value)
		}
	}
	return errs
}
