// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"container/list"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/Masterminds/semver/v3"
)

const (
	// MaxBytes bounds what is kept compiled in all, by estimate.
	MaxBytes = 32 << 20
	// MaxOwnerBytes bounds what is kept compiled for one owner: some 800 expressions
	// as people write them, or 24 of the largest.
	MaxOwnerBytes = 4 << 20
)

// What a compiled text takes, by measurement of the garbage collector's figures.
const (
	bytesPerEntry          = 1024
	bytesPerInstruction    = 176
	bytesPerConstraintByte = 64
)

// defaultCache is what the functions of this package compile into. Equal texts of one owner
// are one entry, so it does for objects from a cache and for those that were read live.
var defaultCache = newCache(MaxOwnerBytes, MaxBytes)

// Regexp returns the compiled form of a regular expression, of RE2's syntax, that an
// owner of targets wrote; the owner is the namespace. The error says what is wrong with
// the text, and that it is too large if it is. It is safe for concurrent use.
func Regexp(owner, text string) (*Expression, error) { return defaultCache.regexp(owner, text) }

// Constraint is Regexp for a semver constraint:
// https://github.com/Masterminds/semver#checking-version-constraints
func Constraint(owner, text string) (*semver.Constraints, error) {
	return defaultCache.constraint(owner, text)
}

// Compilations counts the texts that were parsed since the process began.
func Compilations() uint64 { return defaultCache.compilations.Load() }

// cache keeps what was compiled, and the errors of what could not be.
type cache struct {
	maxOwnerBytes, maxBytes int // bytes
	compilations            atomic.Uint64

	mu     sync.Mutex
	bytes  int
	owners map[string]*ownerEntries
}

// ownerEntries is what is kept for one owner.
type ownerEntries struct {
	bytes   int
	entries map[key]*list.Element
	lru     list.List // of *entry, the last used first
}

type kind int

const (
	kindRegexp kind = iota
	kindConstraint
)

type key struct {
	kind kind
	text string
}

type entry struct {
	key
	bytes  int
	result func() result
}

// result is a compiled text, or why there is none.
type result struct {
	regexp     *Expression
	constraint *semver.Constraints
	err        error
	bytes      int
}

func newCache(maxOwnerBytes, maxBytes int) *cache {
	return &cache{maxOwnerBytes: maxOwnerBytes, maxBytes: maxBytes, owners: map[string]*ownerEntries{}}
}

func (c *cache) regexp(owner, text string) (*Expression, error) {
	if len(text) > MaxRegexpBytes { // is not kept either
		return compileRegexp(text)
	}
	r := c.get(owner, key{kindRegexp, text}, func(text string) (r result) {
		if r.regexp, r.err = compileRegexp(text); r.err == nil {
			r.bytes = r.regexp.size * bytesPerInstruction
		}
		return r
	})
	return r.regexp, r.err
}

func (c *cache) constraint(owner, text string) (*semver.Constraints, error) {
	if len(text) > MaxConstraintBytes {
		return compileConstraint(text)
	}
	r := c.get(owner, key{kindConstraint, text}, func(text string) (r result) {
		r.constraint, r.err = compileConstraint(text)
		r.bytes = len(text) * bytesPerConstraintByte
		return r
	})
	return r.constraint, r.err
}

// get returns what is kept, or else compiles: once, even for several callers at the
// same time, and not while others wait for the lock.
func (c *cache) get(owner string, k key, compile func(text string) result) result {
	c.mu.Lock()
	s, ok := c.owners[owner]
	if !ok {
		s = &ownerEntries{entries: map[key]*list.Element{}}
		c.owners[owner] = s
	}
	if element, ok := s.entries[k]; ok {
		s.lru.MoveToFront(element)
		c.mu.Unlock()
		return element.Value.(*entry).result()
	}
	k.text = strings.Clone(k.text) // it may be a part of something larger
	e := &entry{key: k, result: sync.OnceValue(func() result {
		c.compilations.Add(1)
		return compile(k.text)
	})}
	element := s.lru.PushFront(e)
	s.entries[k] = element
	c.charge(s, e, bytesPerEntry+2*len(k.text))
	c.evict(owner)
	c.mu.Unlock()

	r := e.result()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.entries[k] == element && c.owners[owner] == s { // or it gave way meanwhile
		c.charge(s, e, r.bytes)
		c.evict(owner)
	}
	return r
}

func (c *cache) charge(s *ownerEntries, e *entry, bytes int) {
	e.bytes += bytes
	s.bytes += bytes
	c.bytes += bytes
}

// evict drops what an owner used longest ago, if it has too much, and then, if all
// have, what the one that has most did.
func (c *cache) evict(owner string) {
	for s := c.owners[owner]; s.bytes > c.maxOwnerBytes; {
		c.evictOldest(owner)
	}
	for c.bytes > c.maxBytes {
		c.evictOldest(c.largestOwner())
	}
}

// largestOwner is the owner for whom most is kept.
func (c *cache) largestOwner() (owner string) {
	most := -1
	for name, s := range c.owners {
		if s.bytes > most {
			owner, most = name, s.bytes
		}
	}
	return owner
}

// evictOldest drops what an owner used longest ago.
func (c *cache) evictOldest(owner string) {
	s := c.owners[owner]
	e := s.lru.Remove(s.lru.Back()).(*entry)
	delete(s.entries, e.key)
	c.charge(s, e, -e.bytes)
	if len(s.entries) == 0 {
		delete(c.owners, owner)
	}
}
