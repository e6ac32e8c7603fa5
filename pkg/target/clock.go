// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
)

// maxClockSkew bounds how far ahead of the wall clock a receipt that another process recorded may be. Synchronized
// clocks differ by far less. A receipt further ahead comes from a wrong clock, or from an owner who edits the
// annotation.
const maxClockSkew = time.Minute

// Clock stamps receipts, which order deliveries. A stamp is later than all earlier stamps and all observed receipts,
// even if the wall clock is set back. So a process that restarts, or runs next to another one with its clock slightly
// behind, continues after the receipts that it has observed. Receipts more than maxClockSkew ahead of the wall clock
// are ignored. It is safe for concurrent use.
type Clock struct {
	now func() time.Time

	mu   sync.Mutex
	last time.Time
}

// NewClock returns a Clock on top of a wall clock, such as time.Now.
func NewClock(now func() time.Time) *Clock { return &Clock{now: now} }

// Stamp returns the time of a receipt, in UTC and in whole microseconds, as JSON stores it.
func (c *Clock) Stamp() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp := c.now().UTC().Truncate(time.Microsecond)
	if !stamp.After(c.last) {
		stamp = c.last.Truncate(time.Microsecond).Add(time.Microsecond)
	}
	c.last = stamp
	return stamp
}

// Observe records a receipt that another process may have stamped. All later stamps are after it.
func (c *Clock) Observe(received time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if received.After(c.last) && !received.After(c.now().Add(maxClockSkew)) {
		c.last = received.UTC()
	}
}

// maxReceived returns the latest plausible receipt. A recorded receipt after it supersedes no request.
func (c *Clock) maxReceived() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.now().UTC().Add(maxClockSkew)
	if limit.Before(c.last) { // the wall clock was set back, and last is still plausible
		return c.last
	}
	return limit
}

// observeObject observes the receipts in the annotations of a target.
func (c *Clock) observeObject(obj any) {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	annotations := accessor.GetAnnotations()
	if annotations[AnnotationEventTime] == "" {
		return
	}
	for _, m := range parseWatermarks(annotations) {
		c.Observe(m.Received)
	}
}
