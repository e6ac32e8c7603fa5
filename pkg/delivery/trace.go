// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"postern.dev/postern/apis/postern"
)

// instrumentation is the name under which spans are made.
const instrumentation = "postern.dev/postern/pkg/delivery"

// Spans of a whole delivery. One that is created as an object has the framework's span "Create" in their place.
const (
	spanDeliver   = "Deliver"
	spanRedeliver = "Redeliver"
	spanResume    = "Resume"
)

// Attributes of these spans. None holds what a payload says, or what proves a sender.
const (
	attributeNamespace  = "postern.namespace"
	attributeSource     = "postern.source"
	attributeMethod     = "postern.method"
	attributeTargetKind = "postern.target.kind"
	attributeTargetName = "postern.target.name"
	attributeDelivery   = "postern.delivery"
	attributeOutcome    = "postern.outcome"
	attributeReason     = "postern.reason"
	// attributeAuditID is named as the framework's, which has it on the span of each request. A delivery that is taken up
	// again is found by it with the request that brought it.
	attributeAuditID = "audit-id"
)

// startStage starts the clock and the span of a stage; call what it returns when the stage is over.
//
// The tracer is that of the span around it, so that without one, as by default, there is nothing to pay for.
func startStage(ctx context.Context, stage string) (inStage context.Context, done func()) {
	start := time.Now()
	ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer(instrumentation).Start(ctx, stage)
	return ctx, func() {
		span.End()
		stageSeconds.WithLabelValues(stage).Observe(time.Since(start).Seconds())
	}
}

// setSpanAttributes says on a span what came of a delivery. The text of an error stays away: it may repeat what the sender sent.
func setSpanAttributes(span trace.Span, delivery *postern.WebhookDelivery, outcome, reason string) {
	if !span.IsRecording() {
		return
	}
	attributes := []attribute.KeyValue{
		attribute.String(attributeNamespace, delivery.Namespace),
		attribute.String(attributeSource, knownSource(delivery.Spec.Source)),
		attribute.String(attributeOutcome, outcome),
		attribute.String(attributeDelivery, delivery.Name),
		attribute.String(attributeReason, reason),
	}
	if sender := delivery.Status.Sender; sender != nil {
		attributes = append(attributes, attribute.String(attributeMethod, sender.Method))
	}
	if t := delivery.Spec.Target; t != nil {
		attributes = append(attributes, attribute.String(attributeTargetKind, string(t.Kind)), attribute.String(attributeTargetName, t.Name))
	}
	span.SetAttributes(attributes...)
	if outcome == string(postern.DeliveryFailed) || outcome == outcomeUnavailable {
		span.SetStatus(codes.Error, outcome)
	}
}
