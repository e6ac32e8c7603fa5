// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// settleRounds is for how many durations of a round Postern is left alone before it is measured: at the start, it
	// reads all objects.
	settleRounds = 15
	// idleRounds is how many durations of a round are measured: one minute by default.
	idleRounds = 30
)

// measureIdle measures what Postern costs among very many objects that nothing changes, without deliveries.
func (b *bench) measureIdle(ctx context.Context, c *cluster) error {
	span := idleRounds * b.duration
	b.say("Leaving Postern alone for %v...", settleRounds*b.duration+span)
	if err := pause(ctx, settleRounds*b.duration); err != nil {
		return err
	}
	used, err := b.count(ctx, c, func() error { return pause(ctx, span) })
	if err != nil {
		return err
	}
	for name := range used {
		used[name] /= span.Minutes()
	}
	resident, err := residentMemory(c.postern.PID())
	if err != nil {
		return err
	}
	minute := b.keep(&side{name: "idle, a minute", used: used,
		rounds: []round{{took: span, times: []time.Duration{span}, answers: map[string]int{"none": 1}}}})
	of := fmt.Sprintf(", idle, %d objects of each kind", c.objects)
	b.report.add(
		alone("processor time per minute"+of, "ms", minute.CPU["postern"], nil),
		alone("... context switches per second", "/s", used[switchCounter]/60, nil),
		alone("... resident memory", "MiB", resident.resident, nil),
		alone("... writes to its etcd per minute", "", used[putCounter], nil),
	)
	doNothing := func(ctx context.Context, _ int) (string, bool) { return "none", pause(ctx, span) == nil }
	return b.profileFor(ctx, c, span, &side{do: doNothing}, "idle")
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
