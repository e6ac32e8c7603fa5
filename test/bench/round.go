// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// operation is what one side does over and over: a request, or all requests that make one change. No two calls have the
// same number. It returns what was answered, and whether that is a success.
type operation func(ctx context.Context, number int) (answer string, ok bool)

// round is what came of one side in one stretch of time.
type round struct {
	// took is the time from the first operation's start to the last one's end.
	took time.Duration
	// times are those of the operations that succeeded.
	times   []time.Duration
	answers map[string]int
}

func (r *round) add(took time.Duration, answer string, ok bool) {
	if ok {
		r.times = append(r.times, took)
	}
	r.answers[answer]++
}

// side is one of those that are measured in turns.
type side struct {
	name   string
	do     operation
	next   atomic.Int64
	rounds []round
	// used is by how much counters grew in its rounds.
	used counters
}

// measure has some workers repeat the operation until the time is over, and waits for what was begun.
func (s *side) measure(ctx context.Context, workers int, duration time.Duration) round {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	rounds := make([]round, workers)
	var group sync.WaitGroup
	for i := range workers {
		rounds[i].answers = map[string]int{}
		group.Go(func() {
			for time.Since(start) < duration && ctx.Err() == nil {
				began := time.Now()
				answer, ok := s.do(ctx, int(s.next.Add(1)))
				rounds[i].add(time.Since(began), answer, ok)
			}
		})
	}
	group.Wait()
	whole := round{took: time.Since(start), answers: map[string]int{}}
	for _, r := range rounds {
		whole.times = append(whole.times, r.times...)
		for answer, n := range r.answers {
			whole.answers[answer] += n
		}
	}
	return whole
}

// takeTurns measures sides one after the other, round by round, so that whatever else goes on meets them all. The first
// short round of each opens connections and fills caches, and does not count.
func (b *bench) takeTurns(ctx context.Context, c *cluster, workers int, sides ...*side) error {
	for _, s := range sides {
		s.used = counters{}
		s.measure(ctx, workers, b.duration/2)
	}
	for range b.rounds {
		for _, s := range sides {
			if err := b.countedRound(ctx, c, workers, s); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for _, s := range sides {
		if sum := summarise(s.name, s.rounds); sum.N == 0 {
			return fmt.Errorf("%s never succeeded: %v", s.name, sum.Answers)
		}
	}
	return nil
}

// countedRound measures a side once. The processor time is read next to the round, since reading metrics takes some.
func (b *bench) countedRound(ctx context.Context, c *cluster, workers int, s *side) error {
	metricsBefore, err := c.metrics(ctx)
	if err != nil {
		return err
	}
	cpuBefore, err := c.cpu()
	if err != nil {
		return err
	}
	s.rounds = append(s.rounds, s.measure(ctx, workers, b.duration))
	cpuAfter, err := c.cpu()
	if err != nil {
		return err
	}
	metricsAfter, err := c.metrics(ctx)
	if err != nil {
		return err
	}
	s.used.add(cpuBefore, cpuAfter)
	s.used.add(metricsBefore, metricsAfter)
	return nil
}

// ratios compares two sides round by round.
func ratios(ours, bare []round, value func(summary) float64) []float64 {
	var all []float64
	for i := range min(len(ours), len(bare)) {
		if below := value(summarise("", bare[i:i+1])); below > 0 {
			all = append(all, rounded(value(summarise("", ours[i:i+1]))/below))
		}
	}
	return all
}
