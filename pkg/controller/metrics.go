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

// followed is the Retry that runs, if any, for the metrics: they are asked for when they are scraped.
var followed atomic.Pointer[Retry]

// accounted is the Ledger that runs, if any.
var accounted atomic.Pointer[Ledger]

// account makes the metrics tell of a Ledger; call what it returns when that ends.
func account(l *Ledger) (end func()) {
	accounted.Store(l)
	return func() { accounted.CompareAndSwap(l, nil) }
}

// stored and largest return what is stored in all namespaces, and in the one with most of it.
func stored(number func(holding) int64) func() float64 {
	return func() float64 {
		if l := accounted.Load(); l != nil {
			return float64(number(l.total()))
		}
		return 0
	}
}

func largest(number func(holding) int64) func() float64 {
	return func() float64 {
		if l := accounted.Load(); l != nil {
			return float64(number(l.largest()))
		}
		return 0
	}
}

// follow makes the metrics tell of a Retry; call what it returns when that ends.
func follow(r *Retry) (end func()) {
	followed.Store(r)
	return func() { followed.CompareAndSwap(r, nil) }
}

// RegisterMetrics makes /metrics show the metrics of this package. What is pending only the replica that leads knows;
// others say 0.
func RegisterMetrics() {
	legacyregistry.RawMustRegister(
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "stored_deliveries", StabilityLevel: metrics.BETA,
			Help: "Deliveries that are stored, by whichever replica.",
		}, stored(func(h holding) int64 { return h.records })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "stored_delivery_bytes", StabilityLevel: metrics.BETA,
			Help: "Bytes of JSON that the stored deliveries take.",
		}, stored(func(h holding) int64 { return h.bytes })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "largest_namespace_stored_delivery_bytes", StabilityLevel: metrics.BETA,
			Help: "Bytes of JSON that the stored deliveries take of the namespace whose take most.",
		}, largest(func(h holding) int64 { return h.bytes })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "largest_namespace_pending_deliveries", StabilityLevel: metrics.BETA,
			Help: "Deliveries that are pending in the namespace that has most of them.",
		}, largest(func(h holding) int64 { return h.pending })),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "pending_deliveries", StabilityLevel: metrics.BETA,
			Help: "Deliveries that are pending, by the replica that retries them.",
		}, func() float64 { return float64(len(pendingNow())) }),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "oldest_pending_delivery_age_seconds", StabilityLevel: metrics.BETA,
			Help: "Time since the receipt of the delivery that has been pending longest, by the replica that retries them.",
		}, func() float64 { return oldest().Seconds() }),
		metrics.NewGaugeFunc(&metrics.GaugeOpts{
			Namespace: "postern", Name: "leader", StabilityLevel: metrics.BETA,
			Help: "1 in the replica that retries what is pending, 0 in others. If none does, nobody knows what is pending.",
		}, leading),
	)
}

func pendingNow() []any {
	if r := followed.Load(); r != nil {
		return r.pending.GetStore().List()
	}
	return nil
}

func leading() float64 {
	if followed.Load() == nil {
		return 0
	}
	return 1
}

func oldest() time.Duration {
	var age time.Duration
	if r := followed.Load(); r != nil {
		for _, obj := range pendingNow() {
			if d, ok := obj.(*postern.WebhookDelivery); ok {
				age = max(age, r.age(d))
			}
		}
	}
	return age
}
