// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/target"
	"postern.dev/postern/pkg/text"
)

// Annotations of the audit events of deliveries, in Postern's own audit log. The kube-apiserver's event of the same
// request has the same id, but not these annotations.
const (
	auditSource   = "postern.dev/source"
	auditMethod   = "postern.dev/method"
	auditPhase    = "postern.dev/phase"
	auditReason   = "postern.dev/reason"
	auditDelivery = "postern.dev/delivery"
)

// observe logs and counts a request once its answer is known, and annotates its span and its audit event. It is called
// once per request and namespace. Without a record and an error it does nothing: the stages have panicked, which the
// server logs. The record that answers a repeat has the sender of the first delivery, so the sender is taken from the
// request.
func (d *Deliverer) observe(ctx context.Context, r *Request, record *postern.WebhookDelivery, err error) {
	if record == nil && err == nil {
		return
	}
	delivery := r.Delivery
	if record != nil {
		answered := *record
		answered.Status.Sender = r.Delivery.Status.Sender
		delivery = &answered
	}
	annotateRequest(ctx, delivery, err)
	if r.DryRun && err == nil {
		logDryRun(ctx, delivery)
		return
	}
	method := ""
	if delivery.Status.Sender != nil {
		method = delivery.Status.Sender.Method
	}
	countDelivery(delivery.Spec.Source, method, outcomeOf(delivery, err))
	if reason, ok := rejectionOf(err); ok {
		countRejected(delivery.Spec.Source, reason)
	}
	logOutcome(ctx, delivery, err)
}

// observeError observes a step of a delivery that is created as an object, if it fails and so ends the delivery.
func (d *Deliverer) observeError(ctx context.Context, delivery *postern.WebhookDelivery, err error) {
	if err != nil {
		d.observe(ctx, &Request{Delivery: delivery}, nil, err)
	}
}

// rejectionOf returns why a credential was rejected, which only the operator may know, if err is a rejection.
func rejectionOf(err error) (reason string, ok bool) {
	var rejection *rejectedError
	if !errors.As(err, &rejection) {
		return "", false
	}
	return rejection.reason, true
}

// annotateRequest adds the outcome of a delivery to the span and the audit event of its request, if there are any.
func annotateRequest(ctx context.Context, delivery *postern.WebhookDelivery, err error) {
	reason, rejected := rejectionOf(err)
	if !rejected {
		reason = delivery.Status.Reason
	}
	setSpanAttributes(trace.SpanFromContext(ctx), delivery, outcomeOf(delivery, err), reason)

	annotations := map[string]string{
		auditSource: knownSource(delivery.Spec.Source), auditPhase: string(delivery.Status.Phase),
		auditReason: reason, auditDelivery: delivery.Name,
	}
	if sender := delivery.Status.Sender; sender != nil {
		annotations[auditMethod] = sender.Method
	}
	maps.DeleteFunc(annotations, func(_, value string) bool { return value == "" })
	audit.AddAuditAnnotationsMap(ctx, annotations)
}

// logDryRun logs a dry run, which reports on targets to its caller and leaves no record.
func logDryRun(ctx context.Context, delivery *postern.WebhookDelivery) {
	klog.FromContext(ctx).Info("Made a dry run of a delivery",
		append(logValues(ctx, delivery, nil), "reason", delivery.Status.Reason, "refs", refsOf(delivery))...)
}

// logValues returns the sender, the target and the outcome of a delivery as keys and values.
func logValues(ctx context.Context, delivery *postern.WebhookDelivery, err error) []any {
	values := []any{"outcome", outcomeOf(delivery, err), "source", delivery.Spec.Source}
	if id := audit.GetAuditIDTruncated(ctx); id != "" {
		values = append(values, "auditID", id)
	}
	if delivery.Name != "" {
		values = append(values, "delivery", klog.KObj(delivery))
	} else if delivery.Namespace != "" { // it was rejected before it had a name
		values = append(values, "namespace", delivery.Namespace)
	}
	if sender := delivery.Status.Sender; sender != nil && sender.Name != "" {
		values = append(values, "sender", sender.Name, "method", sender.Method)
	}
	if t := delivery.Spec.Target; t != nil {
		values = append(values, "kind", t.Kind, "target", klog.KRef(delivery.Namespace, t.Name))
	}
	return values
}

func logOutcome(ctx context.Context, delivery *postern.WebhookDelivery, err error) {
	values := logValues(ctx, delivery, err)
	log := klog.FromContext(ctx)
	_, rejected := rejectionOf(err)
	switch {
	case rejected:
		log.Info("Rejected a delivery", append(values, rejectionValues(err)...)...)
	case apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err):
		log.Error(err, "Could not execute a delivery", values...)
	case err != nil:
		log.Info("Refused a delivery", append(values, "err", err)...)
	default:
		log.Info("Delivered", append(values, "reason", delivery.Status.Reason, "refs", refsOf(delivery))...)
	}
}

// rejectionValues returns why a credential was rejected as keys and values.
func rejectionValues(err error) []any {
	var rejection *rejectedError
	if !errors.As(err, &rejection) {
		return nil
	}
	values := []any{"reason", rejection.reason}
	if rejection.detail != "" {
		values = append(values, "detail", rejection.detail)
	}
	return values
}

func refsOf(d *postern.WebhookDelivery) []string {
	refs := make([]string, 0, len(d.Spec.Events))
	for _, e := range d.Spec.Events {
		refs = append(refs, e.Ref)
	}
	return refs
}

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

// eventLimiter limits the rate of Kubernetes Events of each namespace, and of all. An Event costs the kube-apiserver as
// much as the write that it is about, so under load only some writes get one. The records list all of them.
type eventLimiter struct {
	ofNamespace *buckets
	all         *rate.Limiter
}

// newNormalEvents returns the limiter for successes.
func newNormalEvents() eventLimiter { return eventLimiter{newBuckets(1, 20), rate.NewLimiter(5, 100)} }

// newWarningEvents returns the limiter for failures.
func newWarningEvents() eventLimiter {
	return eventLimiter{newBuckets(5, 200), rate.NewLimiter(20, 500)}
}

func (l eventLimiter) allows(namespace string, now time.Time) bool {
	return l.ofNamespace.take(namespace, now) && l.all.AllowN(now, 1)
}

// recordEvents sends a Kubernetes Event about each target that was written, failed or is held.
func (d *Deliverer) recordEvents(delivery *postern.WebhookDelivery, results []postern.TargetResult) {
	now := d.Now()
	for _, result := range results {
		switch {
		case result.Result == postern.TargetWritten && d.normalEvents.allows(delivery.Namespace, now):
			d.recordEvent(delivery, result, corev1.EventTypeNormal, "RefRequested", requestNote(delivery, result))
		case result.Result == postern.TargetFailed && d.warningEvents.allows(delivery.Namespace, now):
			d.recordEvent(delivery, result, corev1.EventTypeWarning, "RefRequestFailed", requestNote(delivery, result))
		case isOnHold(result) && d.normalEvents.allows(delivery.Namespace, now):
			d.recordEvent(delivery, result, corev1.EventTypeNormal, "Held", requestNote(delivery, result))
		}
	}
}

func requestNote(delivery *postern.WebhookDelivery, result postern.TargetResult) string {
	return fmt.Sprintf("%s requested %q: %s", delivery.Spec.Source, result.Ref, result.Message)
}

// recordEvent sends an Event about the target of a result.
func (d *Deliverer) recordEvent(
	delivery *postern.WebhookDelivery, result postern.TargetResult, eventType, reason, note string,
) {
	kind := result.Kind
	// kubectl describe finds Events by the UID.
	regarding := &corev1.ObjectReference{
		APIVersion: target.APIVersion(kind), Kind: string(kind),
		Namespace: delivery.Namespace, Name: result.Name, UID: result.UID,
	}
	// Events that differ only in the note are counted as one. The delivery distinguishes them.
	related := &corev1.ObjectReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "WebhookDelivery",
		Namespace: delivery.Namespace, Name: delivery.Name, UID: delivery.UID,
	}
	d.Events.Eventf(regarding, related, eventType, reason, "Deliver", "%s", text.Truncate(note, maxNoteBytes))
}

// maxNoteBytes is the longest note that the API server accepts; it would reject an Event with a longer one.
// Source: NoteLengthLimit in k8s.io/kubernetes, pkg/apis/core/validation/events.go.
const maxNoteBytes = 1024
