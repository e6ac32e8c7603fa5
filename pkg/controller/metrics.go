// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync/atomic"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"postern.dev/postern/apis/postern"
)

// observedRetry is the Retry that runs, if any, for the metrics: they are asked for when they are scraped.
var observedRetry atomic.Pointer[RetryController]

// observedIndex is the Ledger that runs, if any.
var observedIndex atomic.Pointer[RecordIndex]

// observeIndex makes the metrics tell of a Ledger; call what it returns when that ends.
func observeIndex(l *RecordIndex) (end func()) {
	observedIndex.Store(l)
	return func() { observedIndex.CompareAndSwap(l, nil) }
}

// totalOf and largest return what is stored in all namespaces, and in the one with most of it.
func totalOf(number func(usage) int64) func() float64 {
	return func() float64 {
		if l := observedIndex.Load(); l != nil {
			return float64(number(l.total()))
		}
		return 0
	}
}

func largestOf(number func(usage) int64) func() float64 {
	return func() float64 {
		if l := observedIndex.Load(); l != nil {
			return float64(number(l.largest()))
		}
		return 0
	}
}

// observeRetry makes the metrics tell of a Retry; call what it returns when that ends.
func observeRetry(r *RetryController) (end func()) {
	observedRetry.Store(r)
	return func() { observedRetry.CompareAndSwap(r, nil) }
}

// RegisterMetrics makes /metrics show the metrics of this package. What is pending only the replica that leads knows;
// others say 0.
func RegisterMetrics() {
	legacyregistry.RawMustRegister(
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "stored_deliveries", StabilityLevel: metrics.BETA,
			Help: "Deliveries that are stored, by whichever replica.",
		}, totalOf(func(h usage) int64 { return h.records })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "stored_delivery_bytes", StabilityLevel: metrics.BETA,
			Help: "Bytes of JSON that the stored deliveries take.",
		}, totalOf(func(h usage) int64 { return h.bytes })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "largest_namespace_stored_delivery_bytes", StabilityLevel: metrics.BETA,
			Help: "Bytes of JSON that the stored deliveries take of the namespace whose take most.",
		}, largestOf(func(h usage) int64 { return h.bytes })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "largest_namespace_pending_deliveries", StabilityLevel: metrics.BETA,
			Help: "Deliveries that are pending in the namespace that has most of them.",
		}, largestOf(func(h usage) int64 { return h.pending })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "pending_deliveries", StabilityLevel: metrics.BETA,
			Help: "Deliveries that are pending, by the replica that retries them.",
		}, func() float64 { return float64(len(listPending())) }),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "oldest_pending_delivery_age_seconds", StabilityLevel: metrics.BETA,
			Help: "Time since the receipt of the delivery that has been pending longest, by the replica that retries them.",
		}, func() float64 { return oldestPendingAge().Seconds() }),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "leader", StabilityLevel: metrics.BETA,
			Help: "1 in the replica that retries what is pending, 0 in others. If none does, nobody knows what is pending.",
		}, leaderValue),
	)
}

func listPending() []any {
	if r := observedRetry.Load(); r != nil {
		return r.pending.GetStore().List()
	}
	return nil
}

func leaderValue() float64 {
	if observedRetry.Load() == nil {
		return 0
	}
	return 1
}

func oldestPendingAge() time.Duration {
	var age time.Duration
	if r := observedRetry.Load(); r != nil {
		for _, obj := range listPending() {
			if d, ok := obj.(*postern.WebhookDelivery); ok {
				age = max(age, r.age(d))
			}
		}
	}
	return age
}
