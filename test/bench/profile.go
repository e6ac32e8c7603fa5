// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// shortestProfile yields enough samples.
const shortestProfile = 10 * time.Second

// profile repeats a side's operations while it profiles Postern and the kube-apiserver, if profiles were requested. It
// runs after the rounds and is not counted, because profiling takes time itself.
func (b *bench) profile(ctx context.Context, c *cluster, s *side, name string) error {
	return b.profileFor(ctx, c, max(shortestProfile, b.duration), s, name)
}

// profileFor is profile for a given time.
func (b *bench) profileFor(ctx context.Context, c *cluster, span time.Duration, s *side, name string) error {
	if !b.cpuProfile {
		return nil
	}
	b.say("Taking profiles...")
	seconds := int(math.Ceil(span.Seconds()))
	group, ctx := errgroup.WithContext(ctx)
	for program, at := range map[string]*client{"postern": c.direct, "kube-apiserver": c.admin} {
		path := filepath.Join(filepath.Dir(b.jsonPath), fmt.Sprintf("bench-%s-%s.pprof", name, program))
		b.report.Profiles = append(b.report.Profiles, path)
		group.Go(func() error {
			taken, err := at.must(ctx, http.MethodGet, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), "", nil,
				http.StatusOK)
			if err != nil {
				return fmt.Errorf("could not take a profile of %s: %w", program, err)
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			return os.WriteFile(path, taken, 0o600)
		})
	}
	s.measure(ctx, atOnce, time.Duration(seconds)*time.Second)
	return group.Wait()
}
