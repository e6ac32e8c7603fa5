// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
	"postern.dev/postern/pkg/secretheader"
)

var (
	errPayloadNotDropped = errors.New("the payload was not dropped before storage")
	errSecretNotDropped  = errors.New("the header was not dropped before storage")
)

// validateContent checks that exactly one of payload, rawPayload and ref is set, and its content.
func validateContent(spec *postern.WebhookDeliverySpec, maxPayloadBytes int64) field.ErrorList {
	given := 0
	for _, is := range []bool{spec.Payload != nil, spec.RawPayload != nil, spec.Ref != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return field.ErrorList{field.Invalid(specPath, field.OmitValueType{},
			"exactly one of payload, rawPayload and ref must be given")}
	}
	if spec.Image != "" && spec.Ref == "" {
		return field.ErrorList{field.Forbidden(specPath.Child("image"), "may be set only with ref, which is its tag")}
	}
	switch {
	case spec.Payload != nil:
		return validateSize(specPath.Child("payload"), len(spec.Payload.Raw), maxPayloadBytes)
	case spec.RawPayload != nil:
		return validateSize(specPath.Child("rawPayload"), len(spec.RawPayload), maxPayloadBytes)
	}
	errs := validateRefSource(spec.Source)
	if spec.Image != "" {
		return append(errs, validateRequestedImage(spec)...)
	}
	// As in a payload, the ref may be a full one, such as refs/heads/main.
	if err := naming.ValidateRef(naming.ShortRef(spec.Ref)); err != nil {
		errs = append(errs, field.Invalid(specPath.Child("ref"), shorten(spec.Ref), err.Error()))
	}
	return errs
}

func validateRefSource(source string) field.ErrorList {
	if source == "" || source == postern.SourceGeneric {
		return nil
	}
	return field.ErrorList{field.Forbidden(specPath.Child("source"),
		"may be set only with payload or rawPayload: a ref comes from no sender")}
}

// validateRequestedImage checks an image that is requested without a payload: its name, and its tag in ref.
func validateRequestedImage(spec *postern.WebhookDeliverySpec) field.ErrorList {
	image, err := naming.ParseTaggedImage(spec.Image, spec.Ref)
	if err == nil {
		_, err = naming.NormalizeImage(image)
	}
	if err != nil {
		return field.ErrorList{field.Invalid(specPath.Child("image"), shorten(spec.Image),
			"expected the name of an image, host/repository, and its tag in ref")}
	}
	return nil
}

func validateSize(path *field.Path, size int, limit int64) field.ErrorList {
	if int64(size) > limit {
		return field.ErrorList{field.TooLong(path, "", int(limit))}
	}
	return nil
}

// validateHeaders rejects headers that have a token. A signature is allowed: it is valid only for these bytes.
func validateHeaders(headers map[string]string) field.ErrorList {
	path := specPath.Child("headers")
	if len(headers) > maxHeaders {
		return field.ErrorList{field.TooMany(path, len(headers), maxHeaders)}
	}
	var errs field.ErrorList
	seen := sets.New[string]()
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		canonical := http.CanonicalHeaderKey(name)
		switch value := headers[name]; {
		case seen.Has(canonical): // the names of HTTP headers are case-insensitive
			errs = append(errs, field.Duplicate(path.Key(name), canonical))
		case !httpguts.ValidHeaderFieldName(name):
			errs = append(errs, field.Invalid(path, shorten(name), "not a valid HTTP header name"))
		case secretheader.Is(name) && !secretheader.IsSignature(name):
			errs = append(errs, field.Forbidden(path.Key(name),
				"it holds a token, and this object may be written to an audit log: change the token, and send the "+
					"webhook to the target's webhookdeliveries instead"))
		case len(value) > maxHeaderBytes:
			errs = append(errs, field.TooLong(path.Key(name), "", maxHeaderBytes))
		case !httpguts.ValidHeaderFieldValue(value):
			errs = append(errs, field.Invalid(path.Key(name), field.OmitValueType{}, "not a valid HTTP header value"))
		}
		seen.Insert(canonical)
	}
	return errs
}
