// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"testing"
	"time"
)

const (
	startTimeout = 3 * time.Minute
	// pageTimeout is for a machine that is busy with other tests.
	pageTimeout = 5 * time.Minute
)

func TestEveryPageWorksAsItSays(t *testing.T) {
	root := repository(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := startCluster(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, path := range tested(t, root) {
		t.Run(path, func(t *testing.T) { c.follow(t, path) })
	}
}

// follow runs all steps of a page, from the samples on.
func (c *cluster) follow(t *testing.T, path string) {
	ctx, cancel := context.WithTimeout(t.Context(), pageTimeout)
	defer cancel()
	p, err := readPage(c.root, path)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := p.steps()
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) == 0 {
		return
	}
	if err := c.applySamples(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.tidy.tidy(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("could not tidy up after the page: %v", err)
		}
	})
	r, err := c.runner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.run(ctx, steps); err != nil {
		t.Errorf("%s, %v", path, err)
	}
}
