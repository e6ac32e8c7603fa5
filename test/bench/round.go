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

// operation is what one side repeats: a request, or all requests of one change. number is unique per call. It returns
// the answer and whether that is a success.
type operation func(ctx context.Context, number int) (answer string, ok bool)

// round is the result of one side in one time span.
type round struct {
	// took is the time from the start of the first operation to the end of the last one.
	took time.Duration
	// times are the durations of the successful operations.
	times   []time.Duration
	answers map[string]int
}

func (r *round) add(took time.Duration, answer string, ok bool) {
	if ok {
		r.times = append(r.times, took)
	}
	r.answers[answer]++
}

// side is one of the sides that are measured alternately.
type side struct {
	name   string
	do     operation
	next   atomic.Int64
	rounds []round
	// used is the increase of the counters in its rounds.
	used counters
}

// measure lets workers repeat the operation until the time is over, and waits for operations in flight.
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

// takeTurns measures the sides alternately, round by round, so that disturbances affect all of them. The first, short
// round of each opens connections and fills caches, and is not counted.
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
		if sum := summarize(s.name, s.rounds); sum.N == 0 {
			return fmt.Errorf("%s never succeeded: %v", s.name, sum.Answers)
		}
	}
	return nil
}

// countedRound measures a side once, and counts what it uses.
func (b *bench) countedRound(ctx context.Context, c *cluster, workers int, s *side) error {
	used, err := b.count(ctx, c, func() error {
		s.rounds = append(s.rounds, s.measure(ctx, workers, b.duration))
		return nil
	})
	s.used.add(counters{}, used)
	return err
}

// ratios compares two sides round by round.
func ratios(ours, bare []round, value func(summary) float64) []float64 {
	var all []float64
	for i := range min(len(ours), len(bare)) {
		if below := value(summarize("", bare[i:i+1])); below > 0 {
			all = append(all, rounded(value(summarize("", ours[i:i+1]))/below))
		}
	}
	return all
}
