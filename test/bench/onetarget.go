// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
)

// measureOneTarget makes all workers change the same object: by deliveries, by bare patches, which conflict, and by
// writes of the whole object.
func (b *bench) measureOneTarget(ctx context.Context, c *cluster) error {
	for _, k := range kinds() {
		if err := b.oneTarget(ctx, c, k); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) oneTarget(ctx context.Context, c *cluster, k kind) error {
	b.say("Delivering to one object of kind %s, %d at a time...", k.name, atOnce)
	for _, first := range []int{firstDelivered, firstPatched, firstUpdated} {
		if err := c.create(ctx, k, first, 1); err != nil {
			return err
		}
	}
	how := fmt.Sprintf(", one %s, %d at a time", k.name, atOnce)
	ours := &side{name: "delivery" + how, do: c.deliver(objects{k, firstDelivered, 1})}
	bare := &side{name: "bare PATCH" + how, do: c.patch(objects{k, firstPatched, 1})}
	var conflicts atomic.Int64
	whole := &side{name: "GET and PUT" + how, do: c.update(objects{k, firstUpdated, 1}, &conflicts)}
	if err := b.takeTurns(ctx, c, atOnce, ours, bare, whole); err != nil {
		return err
	}
	delivered, patched, updated := b.keep(ours), b.keep(bare), b.keep(whole)

	name := fmt.Sprintf("deliveries/s, %d at a time, one %s", atOnce, k.name)
	b.report.add(
		compared(name, "/s", delivered.PerSecond, patched.PerSecond, ratios(ours.rounds, bare.rounds, perSecond),
			atLeast(10)),
		alone("... answers other than 202", "", float64(delivered.refused()), atMost(0)),
	)
	against := compared("... against GET, change, PUT until it passes", "/s", delivered.PerSecond, updated.PerSecond,
		ratios(ours.rounds, whole.rounds, perSecond), nil)
	// updated does not include the first round; next does.
	against.Note = fmt.Sprintf("bare: %.1f conflicts per success",
		float64(conflicts.Load())/float64(max(1, whole.next.Load())))
	b.report.add(against)
	return b.profile(ctx, c, ours, "one-target-"+strings.ToLower(k.name))
}

// refused returns the number of answers that are not 202.
func (s summary) refused() int {
	count := 0
	for answer, n := range s.Answers {
		if !strings.HasPrefix(answer, "202 ") {
			count += n
		}
	}
	return count
}
