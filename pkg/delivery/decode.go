// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
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
	delivery.Spec.Events = eventsOf(decoded)
	if len(decoded.Events) == 0 {
		delivery.Status.Reason, delivery.Status.Message = ignoredBecause(decoded.Ignored)
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

func eventsOf(decoded payload.Decoded) []postern.DeliveryEvent {
	events := make([]postern.DeliveryEvent, 0, len(decoded.Events))
	for _, e := range decoded.Events {
		event := postern.DeliveryEvent{
			Source:        e.Source,
			Event:         e.Type,
			Ref:           e.Ref,
			RefType:       postern.RefType(e.RefType),
			Repository:    e.Repository,
			Revision:      e.Revision,
			DeliveryID:    e.DeliveryID,
			DefaultBranch: e.DefaultBranch,
		}
		if !e.Time.IsZero() {
			event.Time = &metav1.MicroTime{Time: e.Time.Truncate(time.Microsecond)}
		}
		if e.Image != nil {
			image := postern.ImageReference(*e.Image)
			event.Image = &image
		}
		events = append(events, event)
	}
	return events
}

// ignoredBecause returns the first reason and all messages of a payload that requests nothing.
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

// keptHeaders are the headers that a record keeps: they describe the delivery and hold no secrets. X-Hook-UUID is not
// among them: it is the same in all deliveries of Bitbucket Cloud, and some receivers use it as a secret. Nor are
// Ce-Source and Ce-Subject: Ce-Source is a URI, which may contain user:password@host.
var keptHeaders = []string{
	"Content-Type", "User-Agent",
	"X-Github-Delivery", "X-Github-Event",
	"X-Gitea-Delivery", "X-Gitea-Event", "X-Gitea-Event-Type",
	"X-Forgejo-Delivery", "X-Forgejo-Event", "X-Forgejo-Event-Type",
	"X-Gogs-Delivery", "X-Gogs-Event",
	"X-Gitlab-Event", "X-Gitlab-Event-Uuid", "Idempotency-Key", "Webhook-Id", "Webhook-Timestamp",
	"X-Event-Key", "X-Request-Uuid", "X-Attempt-Number", // Bitbucket Cloud
	"X-Request-Id",                // Bitbucket Data Center
	"Ce-Id", "Ce-Time", "Ce-Type", // CloudEvents
	"X-Nexus-Webhook-Delivery", "X-Nexus-Webhook-Id",
}

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
