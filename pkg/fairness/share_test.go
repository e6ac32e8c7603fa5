// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"fmt"
	"testing"
)

// fill lets each namespace take one after the other until none may take any more, and returns what each holds.
func fill(c *Counter, namespaces int) []int64 {
	held := make([]int64, namespaces)
	for took := true; took; {
		took = false
		for i := range held {
			if _, ok := c.Take(fmt.Sprint(i), 1); ok {
				held[i]++
				took = true
			}
		}
	}
	return held
}

func TestNamespacesThatTakeAllTheyCanLeaveRoomForAnother(t *testing.T) {
	for _, test := range []struct {
		percent, greedy int
		each            int64
	}{
		{50, 1, 100}, {50, 2, 67}, {50, 9, 20},
		{25, 1, 50}, {25, 2, 40},
		{100, 1, 200},
	} {
		t.Run(fmt.Sprintf("%d of %d%%", test.greedy, test.percent), func(t *testing.T) {
			c := NewCounter(Share{Total: 200, Percent: test.percent})
			for i, held := range fill(c, test.greedy) {
				if held < test.each-1 || held > test.each {
					t.Errorf("namespace %d holds %d, want %d", i, held, test.each)
				}
			}
			if _, ok := c.Take("another", 1); ok != (test.percent < 100) {
				t.Errorf("another namespace may take one: %t", ok)
			}
		})
	}
}

func TestANamespaceThatHoldsNothingMayTakeWhatThereIs(t *testing.T) {
	c := NewCounter(Share{Total: 10, Percent: 50})
	release, ok := c.Take("a", 10) // more than its share, but it could never be less
	if !ok {
		t.Fatal("refused")
	}
	if _, ok := c.Take("b", 1); ok {
		t.Error("more is held than there is")
	}
	release()
	if _, ok := c.Take("b", 1); !ok {
		t.Error("refused, though all was given back")
	}
	if len(c.held) != 1 || c.all != 1 {
		t.Errorf("held by %d namespaces: %d", len(c.held), c.all)
	}
}
