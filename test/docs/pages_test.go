// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"sync"
	"testing"
	"time"
)

// pageTimeout allows for a machine that is busy with other tests.
const pageTimeout = 5 * time.Minute

func TestDocs_EveryPage(t *testing.T) {
	root := repository(t)
	common := sync.OnceValue(func() *cluster { return newCluster(t, root, shared) }) // for all pages that can share one
	for _, path := range tested(t, root) {
		p, err := readPage(root, path)
		if err != nil {
			t.Error(err)
			continue
		}
		steps, err := p.steps(root)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(steps) == 0 {
			continue
		}
		t.Run(path, func(t *testing.T) {
			if p.kind != shared {
				newCluster(t, root, p.kind).follow(t, p, steps)
				return
			}
			common().follow(t, p, steps)
		})
	}
	t.Run("docs/reference/api.md", func(t *testing.T) { common().checkServed(t) })
}

func newCluster(t *testing.T, root string, kind clusterKind) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := startCluster(ctx, root, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// follow runs all steps of a page, after the samples have been created if there is a Postern.
func (c *cluster) follow(t *testing.T, p *page, steps []step) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pageTimeout)
	defer cancel()
	if p.kind != empty {
		if err := c.applySamples(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if p.kind == shared {
		t.Cleanup(func() {
			if err := c.tidy.tidy(context.WithoutCancel(ctx)); err != nil {
				t.Errorf("could not clean up after the page: %v", err)
			}
		})
	}
	r, err := c.runner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.run(ctx, steps); err != nil {
		t.Errorf("%s, %v", p.path, err)
	}
}
