// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

type bench struct {
	settings
	report *report
}

// measurement produces one or more figures. Exactly one of its functions is set.
type measurement struct {
	name      string
	inProcess func(*bench, context.Context) error
	inCluster func(*bench, context.Context, *cluster) error
	// alone measures with a cluster of its own, in which Postern is not started yet.
	alone func(*bench, context.Context, *cluster) error
}

// measurements returns the measurements in order: first those that keep the machine busy with compiling, and the start
// before there are many deliveries.
func measurements() []measurement {
	return []measurement{
		{name: "micro", inProcess: (*bench).measureMicro},
		{name: "matching", inProcess: (*bench).measureMatching},
		{name: "start", inCluster: (*bench).measureStart},
		{name: "latency", inCluster: (*bench).measureLatency},
		{name: "throughput", inCluster: (*bench).measureThroughput},
		{name: "one-target", inCluster: (*bench).measureOneTarget},
		{name: "memory", alone: (*bench).measureMemory},
	}
}

func figureNames() string {
	var names []string
	for _, m := range measurements() {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

func (b *bench) measure(ctx context.Context) (err error) {
	var shared *cluster
	defer func() {
		if shared != nil {
			err = errors.Join(err, shared.stop(context.WithoutCancel(ctx)))
		}
	}()
	for _, m := range measurements() {
		if !b.only.MatchString(m.name) {
			continue
		}
		if m.inCluster != nil && shared == nil {
			if shared, err = b.startShared(ctx); err != nil {
				return err
			}
		}
		if m.alone != nil && shared != nil {
			if err := shared.stop(ctx); err != nil {
				return err
			}
			shared = nil
		}
		if err := b.one(ctx, m, shared); err != nil {
			return fmt.Errorf("could not measure %s: %w", m.name, err)
		}
	}
	return nil
}

func (b *bench) one(ctx context.Context, m measurement, shared *cluster) error {
	switch {
	case m.inProcess != nil:
		return m.inProcess(b, ctx)
	case m.inCluster != nil:
		return m.inCluster(b, ctx, shared)
	}
	c, err := startCluster(ctx)
	if err != nil {
		return err
	}
	return errors.Join(m.alone(b, ctx, c), c.stop(context.WithoutCancel(ctx)))
}

// startShared starts the cluster for all measurements that do not need their own, with a few objects of each kind.
func (b *bench) startShared(ctx context.Context) (*cluster, error) {
	b.say("Starting a control plane with Postern (about 10 seconds)...")
	c, err := startCluster(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range kinds() {
		if err := c.create(ctx, k, 0, fewObjects); err != nil {
			return nil, errors.Join(err, c.stop(context.WithoutCancel(ctx)))
		}
	}
	if err := c.startPostern(ctx); err != nil {
		return nil, errors.Join(err, c.stop(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// say reports progress on standard error.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// warn prints, and adds to the report, a reason to doubt figures.
func (b *bench) warn(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	b.say("WARNING: %s", message)
	b.report.Warnings = append(b.report.Warnings, message)
}
