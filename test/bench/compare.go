// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
)

const (
	// manyTargets is the number of objects for deliveries and bare writes that must not collide.
	manyTargets = 200
	atOnce      = 16
)

// The objects that each side changes must not overlap.
const (
	firstDelivered = 1000
	firstPatched   = 2000
	firstUpdated   = 3000
	firstReceived  = 4000 // through Postern's receiver, and after it through those of peers
)

// measureLatency compares the latency of a delivery with that of a bare write, one at a time.
func (b *bench) measureLatency(ctx context.Context, c *cluster) error {
	for _, k := range kinds() {
		ours, bare, err := b.compare(ctx, c, k, "one at a time", 1)
		if err != nil {
			return err
		}
		b.report.add(compared("p50 of a delivery, "+k.name, "ms", p50(ours.summary), p50(bare.summary),
			ratios(ours.rounds, bare.rounds, p50), atMost(1.3)))
	}
	return nil
}

// measureThroughput compares the throughput of concurrent deliveries and bare writes to different objects.
func (b *bench) measureThroughput(ctx context.Context, c *cluster) error {
	for _, k := range kinds() {
		ours, bare, err := b.compare(ctx, c, k, fmt.Sprintf("%d at a time", atOnce), atOnce)
		if err != nil {
			return err
		}
		b.report.add(compared(fmt.Sprintf("deliveries/s, %d at a time, %s", atOnce, k.name), "/s", ours.PerSecond,
			bare.PerSecond,
			ratios(ours.rounds, bare.rounds, perSecond), atLeast(0.7)))
		if err := b.profile(ctx, c, ours.side, "throughput-"+strings.ToLower(k.name)); err != nil {
			return err
		}
	}
	return nil
}

func p50(s summary) float64       { return s.P50 }
func perSecond(s summary) float64 { return s.PerSecond }

type measured struct {
	*side
	summary
}

// compare measures deliveries and bare patches to different objects.
func (b *bench) compare(ctx context.Context, c *cluster, k kind, how string, workers int) (ours, bare measured,
	err error) {
	b.say("Delivering to many objects of kind %s, %s...", k.name, how)
	for _, first := range []int{firstDelivered, firstPatched} {
		if err := c.create(ctx, k, first, manyTargets); err != nil {
			return ours, bare, err
		}
	}
	ours.side = &side{name: "delivery, " + k.name + ", " + how, do: c.deliver(objects{k, firstDelivered, manyTargets})}
	bare.side = &side{name: "bare PATCH, " + k.name + ", " + how, do: c.patch(objects{k, firstPatched, manyTargets})}
	if err := b.takeTurns(ctx, c, workers, ours.side, bare.side); err != nil {
		return ours, bare, err
	}
	ours.summary, bare.summary = b.keep(ours.side), b.keep(bare.side)
	if n := ours.failures(applied); n > 0 {
		b.warn("%s: %d answers were not %q", ours.side.name, n, applied)
	}
	if n := bare.failures("200"); n > 0 {
		b.warn("%s: %d answers were not 200", bare.side.name, n)
	}
	return ours, bare, nil
}

// keep adds a side's summary to the report.
func (b *bench) keep(s *side) summary {
	result := summarize(s.name, s.rounds)
	result.CPU, result.Requests = s.used.cpuPerSuccess(result.N), s.used.requestsPerSuccess(result.N)
	result.Costs = s.used.costsPerSuccess(result.N)
	b.report.Samples = append(b.report.Samples, result)
	b.report.Stages = append(b.report.Stages, s.used.stages(s.name)...)
	return result
}
