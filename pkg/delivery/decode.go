// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/text"
)

// decode sets what a delivery requests, as far as the method proves that the sender requested it.
func (d *Deliverer) decode(ctx context.Context, r *Request, method credential.Method) error {
	_, done := startStage(ctx, stageDecode)
	defer done()
	decoded, err := d.decodeBody(r, method)
	delivery := r.Delivery
	delivery.Spec.Source = decoded.Source
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if delivery.Name == "" && delivery.GenerateName == "" {
		delivery.GenerateName = decoded.Source + "-"
	}
	delivery.Spec.Headers = headersToKeep(r.Header)
	delivery.Spec.Events = decoded.Events
	if len(decoded.Events) == 0 {
		delivery.Status.Reason, delivery.Status.Message = ignoredBecause(decoded.Ignored)
	} else {
		delivery.Status.Ignored = ignoredParts(decoded.Ignored)
	}
	r.deliveryID = decoded.DeliveryID
	return nil
}

func (d *Deliverer) decodeBody(r *Request, method credential.Method) (payload.Decoded, error) {
	spec := &r.Delivery.Spec
	if spec.Image != "" {
		return payload.RequestImage(spec.Image, spec.Ref)
	}
	input := payload.Input{
		Source: spec.Source, Header: r.Header, Body: r.Body, RegistryURL: r.RegistryURL,
		RegistryURLs: func(source string) string { return d.Secrets.RegistryURLs(r.Delivery.Namespace, source) },
	}
	if method == credential.MethodHMAC {
		return payload.DecodeSigned(input)
	}
	return payload.Decode(input)
}

// ignoredBecause returns the first reason and all messages of what a payload does not request.
func ignoredBecause(ignored []payload.Ignored) (reason, message string) {
	if len(ignored) == 0 {
		return ReasonNothingRequested, "the payload asks for nothing"
	}
	messages := make([]string, 0, len(ignored))
	for _, i := range ignored {
		messages = append(messages, i.Message)
	}
	return ignored[0].Reason, truncateText(strings.Join(messages, "; "))
}

// maxIgnoredBytes bounds the message of an ignored part. There are at most 16 of them.
const maxIgnoredBytes = 256

func ignoredParts(ignored []payload.Ignored) []postern.IgnoredPart {
	var parts []postern.IgnoredPart
	for _, i := range ignored {
		parts = append(parts, postern.IgnoredPart{
			Reason: i.Reason, Message: text.Truncate(i.Message, maxIgnoredBytes),
		})
	}
	return parts
}

// keptHeaders are the headers that a record keeps: they describe the delivery and hold no secrets.
var keptHeaders = payload.KeptHeaders()

// maxKeptHeaderBytes bounds a kept header, since headers are untrusted.
const maxKeptHeaderBytes = 256

// headersToKeep returns the headers that a record keeps, under canonical keys.
func headersToKeep(h http.Header) map[string]string {
	var kept map[string]string
	for _, name := range keptHeaders {
		value := h.Get(name)
		if value == "" || len(value) > maxKeptHeaderBytes || !printable(value) {
			continue
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[name] = value
	}
	return kept
}

// printable reports whether a value is UTF-8 without characters that control a terminal.
func printable(value string) bool {
	return utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) })
}
