// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package fairness divides among flows what is bounded for all of them together, so that none can take all of it.
// It must not know what is divided.
package fairness

import (
	"errors"
	"sync"
)

// Flow is what a share is for: the senders of one namespace that the cluster has authenticated, or those that it has not. Anyone
// can be one of the latter, so what these hold must not be missing to the former. The word is that of API Priority and Fairness.
type Flow struct {
	// Namespace is empty for what is for no single one.
	Namespace string
	// Anonymous is whether the cluster has not authenticated the sender.
	Anonymous bool
}

// Why a flow may not hold more.
var (
	// ErrTotal says that all flows together hold the total.
	ErrTotal = errors.New("the total is in use")
	// ErrShare says that the flow holds its share.
	ErrShare = errors.New("the share is in use")
)

// Share says how much of a total one flow may hold. It is a bound that moves with what is free: alone, a flow may hold Percent
// of the total. Each further one that holds as much as it may lowers the bound of all, and something always stays free for
// a flow that holds little. With 50 percent, one such flow holds a half, two hold a third each, and n hold 1/(n+1) each.
//
// This is the dynamic threshold by which switches share a buffer among their ports (Choudhury and Hahne, 1998).
type Share struct {
	// Total is what all flows together may hold, in any unit. It is at most 1<<56.
	Total int64
	// Percent is from 1 to 100; with 100 nothing is kept free for others.
	Percent int
}

// Check returns nil if a flow that holds held may hold n more, while all flows together hold all; else ErrTotal or ErrShare. One
// that holds nothing may, as long as there is room for it.
func (s Share) Check(held, all, n int64) error {
	free := s.Total - all - n
	switch {
	case free < 0:
		return ErrTotal
	case held == 0 || s.Percent >= 100 || (held+n)*int64(100-s.Percent) <= free*int64(s.Percent):
		return nil
	}
	return ErrShare
}

// Counter counts what flows hold of a total. It is safe for concurrent use.
type Counter struct {
	share Share

	mu    sync.Mutex
	inUse int64
	held  map[Flow]int64
}

// NewCounter returns a Counter of which nothing is held.
func NewCounter(share Share) *Counter { return &Counter{share: share, held: map[Flow]int64{}} }

// TryAcquire lets a flow hold n more, and returns what gives them back, to be called once; or ErrTotal or ErrShare.
func (c *Counter) TryAcquire(flow Flow, n int64) (release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.share.Check(c.held[flow], c.inUse, n); err != nil {
		return nil, err
	}
	c.add(flow, n)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.add(flow, -n)
	}, nil
}

func (c *Counter) add(flow Flow, n int64) {
	c.inUse += n
	if c.held[flow] += n; c.held[flow] == 0 {
		delete(c.held, flow) // or the map would grow with every flow that ever was
	}
}
