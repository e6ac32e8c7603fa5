// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
)

// maxClockSkew is how far ahead of the wall clock a receipt may be that another process noted. Clocks in step differ by far
// less. What is further ahead is of a clock that was wrong, or of an owner who writes the annotation by hand.
const maxClockSkew = time.Minute

// Clock stamps receipts, by which deliveries are ordered. A stamp is later than every stamp before it, and than every
// receipt that was observed, whatever is done to the wall clock: so a process orders what it receives, and one that is
// started anew, or runs beside another with a clock a little behind, goes on after what it has seen. Observed receipts
// of more than a minute ahead of the wall clock do not count. It is safe for concurrent use.
type Clock struct {
	now func() time.Time

	mu   sync.Mutex
	last time.Time
}

// NewClock returns a Clock on top of a wall clock, such as time.Now.
func NewClock(now func() time.Time) *Clock { return &Clock{now: now} }

// Stamp returns the time of a receipt, in UTC and in whole microseconds, as JSON keeps it.
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

// Observe takes note of a receipt that another process may have stamped. Stamps from now on are later.
func (c *Clock) Observe(received time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if received.After(c.last) && !received.After(c.now().Add(maxClockSkew)) {
		c.last = received.UTC()
	}
}

// maxReceived returns the latest receipt that may be true: what is noted as received after it outdates nothing.
func (c *Clock) maxReceived() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.now().UTC().Add(maxClockSkew)
	if limit.Before(c.last) { // the wall clock was set back, and this process has not forgotten
		return c.last
	}
	return limit
}

// observeObject observes the receipts that a target tells of.
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
