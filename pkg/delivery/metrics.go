// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/payload"
)

const (
	stageVerify  = "verify"
	stageDecode  = "decode"
	stageAdmit   = "admit"
	stageResolve = "resolve"
	stageRecord  = "record"
	stageWrite   = "write"
)

// Outcomes of deliveries that leave no record, in addition to the phases.
const (
	outcomeRejected = "Rejected" // no or wrong credential
	outcomeInvalid  = "Invalid"  // permanently invalid
	outcomeDenied   = "Denied"   // denied by admission
	outcomeNotFound = "NotFound" // no such target
	outcomeRefused  = "Refused"  // over its namespace's share
	// outcomeUnavailable means that the delivery, or its dry run, has to be sent again.
	outcomeUnavailable = "Unavailable"
)

// Labels have few values: known sources, methods, outcomes and stages, and never text from a payload.
var (
	deliveries = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "postern", Name: "deliveries_total", StabilityLevel: metrics.BETA,
		Help: "Webhooks by type of sender, authentication method and outcome.",
	}, []string{"source", "method", "outcome"})

	rejected = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "postern", Name: "rejected_deliveries_total", StabilityLevel: metrics.BETA,
		Help: "Webhooks whose credential was rejected, by type of sender and reason.",
	}, []string{"source", "reason"})

	resumed = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "postern", Name: "resumed_deliveries_total", StabilityLevel: metrics.BETA,
		Help: "Deliveries that were answered as Pending or interrupted by a crash and completed later, by outcome.",
	}, []string{"outcome"})

	releasedDeliveries = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "postern", Name: "released_deliveries_total", StabilityLevel: metrics.BETA,
		Help: "Deliveries that were held and are not any more, by outcome.",
	}, []string{"outcome"})

	stageSeconds = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: "postern", Name: "delivery_stage_duration_seconds", StabilityLevel: metrics.BETA,
		Help:    "Time that deliveries spend in each stage.",
		Buckets: metrics.ExponentialBuckets(0.00005, 2.5, 14), // 50 µs to 7.5 s
	}, []string{"stage"})
)

// RegisterMetrics adds the metrics of this package to /metrics. Until then they count nothing.
func RegisterMetrics() {
	legacyregistry.MustRegister(deliveries, rejected, resumed, releasedDeliveries, stageSeconds)
	// Start at 0, since increase() ignores the first sample of a series.
	for _, phase := range []postern.DeliveryPhase{
		postern.DeliveryApplied, postern.DeliverySuperseded, postern.DeliveryIgnored, postern.DeliveryFailed,
	} {
		resumed.WithLabelValues(string(phase)).Add(0)
		releasedDeliveries.WithLabelValues(string(phase)).Add(0)
	}
}

// knownSource returns "unknown" for a source that does not exist, so that a client can't create series.
func knownSource(source string) string {
	if _, known := payload.Lookup(source); !known {
		return "unknown"
	}
	return source
}

func countDelivery(source, method, outcome string) {
	deliveries.WithLabelValues(knownSource(source), method, outcome).Inc()
}

func countRejected(source, reason string) {
	rejected.WithLabelValues(knownSource(source), reason).Inc()
}

func countResumed(phase postern.DeliveryPhase) { resumed.WithLabelValues(string(phase)).Inc() }

func countReleased(phase postern.DeliveryPhase) {
	releasedDeliveries.WithLabelValues(string(phase)).Inc()
}

func outcomeOf(delivery *postern.WebhookDelivery, err error) string {
	switch {
	case err == nil:
		return string(delivery.Status.Phase)
	case apierrors.IsUnauthorized(err):
		return outcomeRejected
	case apierrors.IsForbidden(err):
		return outcomeDenied
	case apierrors.IsNotFound(err):
		return outcomeNotFound
	case apierrors.IsBadRequest(err), apierrors.IsInvalid(err), apierrors.IsAlreadyExists(err),
		apierrors.IsRequestEntityTooLargeError(err):
		return outcomeInvalid
	case apierrors.IsTooManyRequests(err):
		return outcomeRefused
	case apierrors.IsServiceUnavailable(err):
		return outcomeUnavailable
	}
	return string(postern.DeliveryFailed)
}
