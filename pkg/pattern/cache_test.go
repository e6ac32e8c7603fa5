// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func compile(t *testing.T, c *cache, owner, text string) {
	t.Helper()
	if _, err := c.regexp(owner, text); err != nil {
		t.Fatal(err)
	}
}

func TestCache_CompilesOnce(t *testing.T) {
	c := newCache(MaxOwnerBytes, MaxBytes)
	for range 100 {
		compile(t, c, "demo", "^a+$")
		if _, err := c.constraint("demo", "^1.2"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.regexp("demo", "a("); err == nil {
			t.Fatal("a malformed expression was compiled")
		}
		if _, err := c.constraint("demo", "^a+$"); err == nil {
			t.Fatal("an expression was accepted as a constraint")
		}
	}
	if got := c.compilations.Load(); got != 4 {
		t.Errorf("4 texts were compiled %d times", got)
	}
	compile(t, c, "other", "^a+$")
	if got := c.compilations.Load(); got != 5 {
		t.Errorf("the text of another owner was compiled %d times", got-4)
	}
}

func TestCache_CompilesOnceConcurrently(t *testing.T) {
	c := newCache(MaxOwnerBytes, MaxBytes)
	var running sync.WaitGroup
	for i := range 50 {
		running.Go(func() {
			for range 20 {
				if e, err := c.regexp(fmt.Sprint("n", i%2), "^(a|b){300}$"); err != nil || e.MatchString("c") {
					t.Error(e, err)
				}
			}
		})
	}
	running.Wait()
	if got := c.compilations.Load(); got != 2 {
		t.Errorf("one text of 2 owners was compiled %d times", got)
	}
}

// TestCache_IsBounded has one owner with as many and as large patterns as possible, and one with a single pattern.
func TestCache_IsBounded(t *testing.T) {
	const largest = bytesPerEntry + 2*MaxRegexpBytes + MaxRegexpSize*bytesPerInstruction
	c := newCache(10*largest, 30*largest)
	compile(t, c, "honest", "^v[0-9]+$")
	for i := range 100 {
		compile(t, c, "hostile", fmt.Sprintf("(?:x{990})%d", i))
		if got := c.owners["hostile"].bytes; got > c.maxOwnerBytes {
			t.Fatalf("%d bytes are cached for one owner", got)
		}
	}
	for i := range 100 {
		compile(t, c, fmt.Sprint("hostile", i%20), fmt.Sprintf("(?:x{990})%d", i))
		if c.bytes > c.maxBytes {
			t.Fatalf("%d bytes are cached in total", c.bytes)
		}
	}
	before := c.compilations.Load()
	compile(t, c, "honest", "^v[0-9]+$")
	if got := c.compilations.Load(); got != before {
		t.Error("the entries of other owners displaced the only expression of an owner")
	}

	sum := 0
	for owner, s := range c.owners {
		size := 0
		for element := s.lru.Front(); element != nil; element = element.Next() {
			size += element.Value.(*entry).bytes
		}
		if size != s.bytes || s.lru.Len() != len(s.entries) || size == 0 {
			t.Errorf("%s: %d bytes are counted of %d, and %d entries of %d", owner, s.bytes, size, len(s.entries),
				s.lru.Len())
		}
		sum += size
	}
	if sum != c.bytes {
		t.Errorf("%d bytes are counted of %d", c.bytes, sum)
	}
}

func TestCache_DropsLongPatterns(t *testing.T) {
	c := newCache(MaxOwnerBytes, MaxBytes)
	if _, err := c.regexp("demo", strings.Repeat("a", MaxRegexpBytes+1)); err == nil {
		t.Error("an expression that is too long was compiled")
	}
	if _, err := c.constraint("demo", strings.Repeat(">=1,", MaxConstraintBytes)+">=1"); err == nil {
		t.Error("a constraint that is too long was compiled")
	}
	if len(c.owners) != 0 || c.bytes != 0 {
		t.Errorf("%d bytes are cached", c.bytes)
	}
}
