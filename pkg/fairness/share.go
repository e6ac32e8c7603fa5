// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package fairness divides a bounded resource among flows, so that no flow can take all of it. It must not depend on
// what the resource is.
package fairness

import (
	"errors"
	"sync"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/lru"
)

// Flow is the senders of one namespace that the cluster has authenticated, or its anonymous ones. Every client can be
// anonymous, which must not reduce the share of the former. The term is from API Priority and Fairness.
type Flow struct {
	// Namespace is empty for requests of no single namespace.
	Namespace string
	// Anonymous is true if the cluster has not authenticated the sender.
	Anonymous bool
}

// Errors of a flow that may not hold more.
var (
	// ErrTotal means that all flows together hold the total.
	ErrTotal = errors.New("the total is in use")
	// ErrShare means that the flow holds its share.
	ErrShare = errors.New("the share is in use")
)

// Share bounds how much of a total one flow may hold, depending on what is free. A single flow may hold Percent of the
// total. Each further flow that holds as much as it may lowers the bound of all, so that something always stays free
// for flows that hold little. With 50 percent, one such flow holds a half, and n hold 1/(n+1) each.
//
// This is the dynamic threshold with which switches share a buffer among their ports (Choudhury and Hahne, 1998).
type Share struct {
	// Total is what all flows together may hold, in any unit, at most 1<<56.
	Total int64
	// Percent is from 1 to 100. With 100 nothing is kept free for others.
	Percent int
}

// Check returns nil if a flow that holds held may hold n more while all flows together hold all; else ErrTotal or
// ErrShare. A flow that holds nothing is limited only by the total.
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

// Counter counts how much of a total each flow holds. It is safe for concurrent use.
type Counter struct {
	share Share

	mu    sync.Mutex
	inUse int64
	held  map[Flow]int64
}

// NewCounter returns a Counter for a share. Initially no flow holds anything.
func NewCounter(share Share) *Counter { return &Counter{share: share, held: map[Flow]int64{}} }

// TryAcquire acquires n for a flow. The caller must call release once. The error is ErrTotal or ErrShare.
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
		delete(c.held, flow) // otherwise the map grows with every flow
	}
}

const (
	// noticeInterval is the minimum interval between log messages for a flow and cause.
	noticeInterval = time.Minute
	// maxNotices bounds how many flows and causes are remembered.
	maxNotices = 1024
)

// Notices logs flows that have reached their share. It is safe for concurrent use.
type Notices struct{ latest *lru.Cache } // of time.Time, by notice

type notice struct {
	flow  Flow
	cause string
}

// NewNotices returns Notices without a history.
func NewNotices() *Notices { return &Notices{lru.New(maxNotices)} }

// Refused logs that requests of a flow are refused for a cause, at most once a minute, with additional keys and values.
func (n *Notices) Refused(flow Flow, cause string, keysAndValues ...any) {
	key := notice{flow, cause}
	if latest, found := n.latest.Get(key); found && time.Since(latest.(time.Time)) < noticeInterval {
		return // two concurrent calls may both log
	}
	n.latest.Add(key, time.Now())
	klog.InfoS("Refusing requests of a namespace over its share", append([]any{
		"namespace", flow.Namespace, "anonymous", flow.Anonymous, "cause", cause,
	}, keysAndValues...)...)
}
