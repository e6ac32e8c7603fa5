// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package fairness divides among namespaces what is bounded for all of them together, so that none can take all of it.
// It must not know what is divided.
package fairness

import "sync"

// Share says how much of a total one namespace may hold. It is a bound that moves with what is free: alone, a namespace
// may hold Percent of the total. Each further one that holds as much as it may lowers the bound of all, and something
// always stays free for a namespace that holds little. With 50 percent, one such namespace holds a half, two hold a
// third each, and n hold 1/(n+1) each.
//
// This is the dynamic threshold by which switches share a buffer among their ports (Choudhury and Hahne, 1998).
type Share struct {
	// Total is what all namespaces together may hold, in any unit.
	Total int64
	// Percent is from 1 to 100; with 100 nothing is kept free for others.
	Percent int
}

// Allows reports whether a namespace that holds held may hold n more, while all namespaces together hold all. One that
// holds nothing may, as long as there is room for it.
func (s Share) Allows(held, all, n int64) bool {
	free := s.Total - all - n
	if free < 0 {
		return false
	}
	return held == 0 || s.Percent >= 100 || (held+n)*int64(100-s.Percent) <= free*int64(s.Percent)
}

// Counter counts what namespaces hold of a total. It is safe for concurrent use.
type Counter struct {
	share Share

	mu   sync.Mutex
	all  int64
	held map[string]int64
}

// NewCounter returns a Counter of which nothing is held.
func NewCounter(share Share) *Counter { return &Counter{share: share, held: map[string]int64{}} }

// Take lets a namespace hold n more, and returns what gives them back, to be called once; or false if it may not.
func (c *Counter) Take(namespace string, n int64) (release func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.share.Allows(c.held[namespace], c.all, n) {
		return nil, false
	}
	c.add(namespace, n)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.add(namespace, -n)
	}, true
}

func (c *Counter) add(namespace string, n int64) {
	c.all += n
	if c.held[namespace] += n; c.held[namespace] == 0 {
		delete(c.held, namespace) // or the map would grow with every name that was ever asked for
	}
}
