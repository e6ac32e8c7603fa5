// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	starts = 5
	// readyInterval is the resolution of a start's time.
	readyInterval = 5 * time.Millisecond
	readyTimeout  = time.Minute
)

// measureStart restarts Postern a few times and measures the time from the start of the program until it is ready.
func (b *bench) measureStart(ctx context.Context, c *cluster) error {
	b.say("Restarting Postern %d times...", starts)
	var seconds []float64
	for range starts {
		if err := c.postern.Stop(ctx); err != nil {
			return err
		}
		took, err := c.timeStart(ctx, c.postern.Start)
		if err != nil {
			return err
		}
		seconds = append(seconds, rounded(took.Seconds()))
	}
	f := alone("start to ready", "s", median(seconds), atMost(3))
	f.Note = "100 objects of each kind, embedded etcd; median of 5"
	b.report.add(f)
	return nil
}

// timeStart returns the time from the call of start until Postern reports ready. It returns once start has returned.
func (c *cluster) timeStart(ctx context.Context, start func(context.Context) error) (time.Duration, error) {
	began := time.Now()
	started := make(chan error, 1)
	go func() { started <- start(ctx) }()
	err := wait.PollUntilContextTimeout(ctx, readyInterval, readyTimeout, true,
		func(ctx context.Context) (bool, error) {
			got, err := c.direct.do(ctx, http.MethodGet, "/readyz", "", nil)
			return err == nil && got.code == http.StatusOK, nil
		})
	took := time.Since(began)
	if failed := <-started; failed != nil {
		return 0, failed
	}
	return took, err
}
