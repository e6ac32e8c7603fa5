// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync/atomic"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// observedRetry is the running RetryController, or nil. The metrics read it when they are scraped.
var observedRetry atomic.Pointer[RetryController]

// observedIndex is the running RecordIndex, or nil.
var observedIndex atomic.Pointer[RecordIndex]

// observedHolds is the running HoldController, or nil.
var observedHolds atomic.Pointer[HoldController]

// observeHolds makes the metrics report on a controller until end is called.
func observeHolds(c *HoldController) (end func()) {
	observedHolds.Store(c)
	return func() { observedHolds.CompareAndSwap(c, nil) }
}

func oldestHeldAge() (oldest time.Duration) {
	c := observedHolds.Load()
	if c == nil {
		return 0
	}
	for _, obj := range c.held.GetStore().List() {
		if d, ok := obj.(*postern.WebhookDelivery); ok {
			oldest = max(oldest, time.Since(delivery.HeldSince(d)))
		}
	}
	return oldest
}

// observeIndex makes the metrics report on an index until end is called.
func observeIndex(i *RecordIndex) (end func()) {
	observedIndex.Store(i)
	return func() { observedIndex.CompareAndSwap(i, nil) }
}

// totalOf and largestOf return a number of all namespaces together, and of the namespace with the most.
func totalOf(number func(usage) int64) func() float64 {
	return func() float64 {
		if i := observedIndex.Load(); i != nil {
			return float64(number(i.total()))
		}
		return 0
	}
}

func largestOf(number func(usage) int64) func() float64 {
	return func() float64 {
		if i := observedIndex.Load(); i != nil {
			return float64(number(i.largest()))
		}
		return 0
	}
}

// observeRetry makes the metrics report on a controller until end is called.
func observeRetry(r *RetryController) (end func()) {
	observedRetry.Store(r)
	return func() { observedRetry.CompareAndSwap(r, nil) }
}

// RegisterMetrics adds the metrics of this package to /metrics. Pending deliveries are reported by the leader only;
// other replicas report 0.
func RegisterMetrics() {
	legacyregistry.RawMustRegister(
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "stored_deliveries", StabilityLevel: metrics.BETA,
			Help: "Stored deliveries of all replicas.",
		}, totalOf(func(u usage) int64 { return u.records })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "stored_delivery_bytes", StabilityLevel: metrics.BETA,
			Help: "Bytes of JSON of the stored deliveries.",
		}, totalOf(func(u usage) int64 { return u.bytes })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "largest_namespace_stored_delivery_bytes", StabilityLevel: metrics.BETA,
			Help: "Bytes of JSON of the stored deliveries in the namespace with the most.",
		}, largestOf(func(u usage) int64 { return u.bytes })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "largest_namespace_pending_deliveries", StabilityLevel: metrics.BETA,
			Help: "Pending deliveries in the namespace with the most.",
		}, largestOf(func(u usage) int64 { return u.unfinished - u.held })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "held_deliveries", StabilityLevel: metrics.BETA,
			Help: "Deliveries of all replicas that are held until they, or their targets, are released.",
		}, totalOf(func(u usage) int64 { return u.held })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "largest_namespace_held_deliveries", StabilityLevel: metrics.BETA,
			Help: "Held deliveries in the namespace with the most.",
		}, largestOf(func(u usage) int64 { return u.held })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "oldest_held_delivery_age_seconds", StabilityLevel: metrics.BETA,
			Help: "Time since the delivery that has been held longest is held, reported by the leader.",
		}, func() float64 { return oldestHeldAge().Seconds() }),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "pending_deliveries", StabilityLevel: metrics.BETA,
			Help: "Pending deliveries, reported by the leader.",
		}, func() float64 { return float64(len(listPending())) }),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "oldest_pending_delivery_age_seconds", StabilityLevel: metrics.BETA,
			Help: "Time since the receipt of the delivery that has been pending longest, reported by the leader.",
		}, func() float64 { return oldestPendingAge().Seconds() }),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "leader", StabilityLevel: metrics.BETA,
			Help: "1 in the replica that retries pending deliveries, 0 in others. " +
				"If no replica leads, pending deliveries are not reported.",
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

func oldestPendingAge() (oldest time.Duration) {
	for _, obj := range listPending() {
		if d, ok := obj.(*postern.WebhookDelivery); ok {
			oldest = max(oldest, age(d))
		}
	}
	return oldest
}
