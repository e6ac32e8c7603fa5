// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"slices"

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

// Outcomes that are no phase of a delivery: these leave no record.
const (
	outcomeRejected = "Rejected" // no or wrong credential
	outcomeInvalid  = "Invalid"  // can never work as it is
	outcomeDenied   = "Denied"   // admission said no
	outcomeNotFound = "NotFound" // no such target
	outcomeRefused  = "Refused"  // more than its namespace's share
	// The delivery could not be recorded or tried out just now; the sender was told to send it again.
	outcomeUnavailable = "Unavailable"
)

// The labels have few values: senders that are known, methods, outcomes and stages, never anything a payload says.
var (
	deliveries = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "postern", Name: "deliveries_total", StabilityLevel: metrics.BETA,
		Help: "Webhooks by type of sender, method that proved the sender, and outcome.",
	}, []string{"source", "method", "outcome"})

	rejected = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "postern", Name: "rejected_deliveries_total", StabilityLevel: metrics.BETA,
		Help: "Webhooks whose credential was not accepted, by type of sender and by what was wrong with the credential.",
	}, []string{"source", "reason"})

	resumed = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "postern", Name: "resumed_deliveries_total", StabilityLevel: metrics.BETA,
		Help: "Deliveries that were answered as Pending, or cut short by a crash, and came to an end afterwards, by outcome.",
	}, []string{"outcome"})

	stageSeconds = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: "postern", Name: "delivery_stage_duration_seconds", StabilityLevel: metrics.BETA,
		Help:    "Time that deliveries spend in each stage.",
		Buckets: metrics.ExponentialBuckets(0.00005, 2.5, 14), // 50 µs to 7.5 s
	}, []string{"stage"})
)

// RegisterMetrics makes /metrics show the metrics of this package. Until then they count nothing.
func RegisterMetrics() {
	legacyregistry.MustRegister(deliveries, rejected, resumed, stageSeconds)
	// The first increase of a series that was not there before is none to Prometheus.
	for _, phase := range []postern.DeliveryPhase{postern.DeliveryApplied, postern.DeliverySuperseded, postern.DeliveryIgnored, postern.DeliveryFailed} {
		resumed.WithLabelValues(string(phase)).Add(0)
	}
}

// knownSource is "unknown" for what claims to come from a sender that does not exist: a claim must not make a new series.
func knownSource(source string) string {
	if !slices.Contains(payload.Sources(), source) {
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
	case apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) || apierrors.IsAlreadyExists(err) || apierrors.IsRequestEntityTooLargeError(err):
		return outcomeInvalid
	case apierrors.IsTooManyRequests(err):
		return outcomeRefused
	case apierrors.IsServiceUnavailable(err):
		return outcomeUnavailable
	}
	return string(postern.DeliveryFailed)
}
