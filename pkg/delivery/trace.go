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

// instrumentation is the name of the tracer.
const instrumentation = "postern.dev/postern/pkg/delivery"

// Spans of a whole delivery. A delivery that is created as an object has the framework's span "Create" instead.
const (
	spanDeliver   = "Deliver"
	spanRedeliver = "Redeliver"
	spanResume    = "Resume"
)

// Attributes of these spans. None contains text from a payload or a credential.
const (
	attributeNamespace  = "postern.namespace"
	attributeSource     = "postern.source"
	attributeMethod     = "postern.method"
	attributeTargetKind = "postern.target.kind"
	attributeTargetName = "postern.target.name"
	attributeDelivery   = "postern.delivery"
	attributeOutcome    = "postern.outcome"
	attributeReason     = "postern.reason"
	// attributeAuditID has the framework's name on request spans. It links a resumed delivery to its request.
	attributeAuditID = "audit-id"
)

// startStage starts the clock and the span of a stage. Call done at the end of the stage.
//
// It uses the tracer of the enclosing span, so it costs nothing without one, which is the default.
func startStage(ctx context.Context, stage string) (inStage context.Context, done func()) {
	start := time.Now()
	ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer(instrumentation).Start(ctx, stage)
	return ctx, func() {
		span.End()
		stageSeconds.WithLabelValues(stage).Observe(time.Since(start).Seconds())
	}
}

// setSpanAttributes sets the outcome of a delivery on a span. It omits error texts, which may quote the request.
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
		attributes = append(attributes,
			attribute.String(attributeTargetKind, string(t.Kind)), attribute.String(attributeTargetName, t.Name))
	}
	span.SetAttributes(attributes...)
	if outcome == string(postern.DeliveryFailed) || outcome == outcomeUnavailable {
		span.SetStatus(codes.Error, outcome)
	}
}
