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
	// hasPerf reports whether perf can count instructions here.
	hasPerf bool
}

// measurement produces one or more figures. Exactly one of its functions is set.
type measurement struct {
	name      string
	inProcess func(*bench, context.Context) error
	// inCluster measures in a control plane with Postern and objects of each kind. Consecutive measurements with the
	// same number of objects share it.
	inCluster func(*bench, context.Context, *cluster) error
	objects   int
	// onRequest measurements take long, and are made only if -only is set.
	onRequest bool
}

// measurements returns the measurements in order: first those that keep the machine busy with compiling, and the start
// before there are many deliveries. Those that leave Postern with other flags or many records come last.
func measurements(s settings) []measurement {
	return []measurement{
		{name: "micro", inProcess: (*bench).measureMicro},
		{name: "matching", inProcess: (*bench).measureMatching},
		{name: "start", inCluster: (*bench).measureStart, objects: fewObjects},
		{name: "latency", inCluster: (*bench).measureLatency, objects: fewObjects},
		{name: "throughput", inCluster: (*bench).measureThroughput, objects: fewObjects},
		{name: "one-target", inCluster: (*bench).measureOneTarget, objects: fewObjects},
		{name: "receiver", inCluster: (*bench).measureReceiver, objects: fewObjects},
		{name: "idle", inCluster: (*bench).measureIdle, objects: s.objects},
		{name: "memory", inCluster: (*bench).measureMemory, objects: s.objects},
		{name: "wide", inCluster: (*bench).measureWide, objects: s.objects, onRequest: true},
		{name: "long", inCluster: (*bench).measureLong, onRequest: true},
	}
}

func figureNames() string {
	var names []string
	for _, m := range measurements(settings{}) {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

// wants reports whether the flags select a measurement.
func (s settings) wants(m measurement) bool {
	return s.only.MatchString(m.name) && (!m.onRequest || s.only.String() != "")
}

func (b *bench) measure(ctx context.Context) (err error) {
	var c *cluster
	defer func() {
		if c != nil {
			err = errors.Join(err, c.stop(context.WithoutCancel(ctx)))
		}
	}()
	for _, m := range measurements(b.settings) {
		if !b.wants(m) {
			continue
		}
		if m.inProcess != nil {
			err = m.inProcess(b, ctx)
		} else if c, err = b.clusterFor(ctx, m, c); err == nil {
			err = m.inCluster(b, ctx, c)
		}
		if err != nil {
			return fmt.Errorf("could not measure %s: %w", m.name, err)
		}
	}
	return nil
}

// clusterFor returns a cluster for a measurement: the given one, which may be nil, or a new one in its place.
func (b *bench) clusterFor(ctx context.Context, m measurement, c *cluster) (*cluster, error) {
	if c != nil && c.objects == m.objects {
		return c, nil
	}
	if c != nil {
		if err := c.stop(ctx); err != nil {
			return nil, err
		}
	}
	b.say("Starting a control plane with Postern and %d objects of each kind (10 seconds, and 1 or 2 minutes for "+
		"10000)...", m.objects)
	return startCluster(ctx, m.objects)
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

// note prints, and adds to the report, what was left out and why.
func (b *bench) note(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	b.say("%s", message)
	b.report.Notes = append(b.report.Notes, message)
}
