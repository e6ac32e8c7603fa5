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
	// MaxBytes limits the estimated size of all compiled patterns.
	MaxBytes = 32 << 20
	// MaxOwnerBytes limits the estimated size of one owner's compiled patterns: about 800 typical expressions, or 24 of
	// the largest.
	MaxOwnerBytes = 4 << 20
)

// Estimated memory of a compiled pattern, measured with the garbage collector's figures.
const (
	bytesPerEntry          = 1024
	bytesPerInstruction    = 176
	bytesPerConstraintByte = 64
)

// defaultCache is used by the functions of this package. Equal texts of one owner share an entry, so it serves objects
// from a cache and objects that were read live.
var defaultCache = newCache(MaxOwnerBytes, MaxBytes)

// Regexp compiles a regular expression in RE2 syntax, or returns it from the cache. The owner is the namespace of the
// target. It returns an error if the text is not valid or too large. It is safe for concurrent use.
func Regexp(owner, text string) (*Expression, error) { return defaultCache.regexp(owner, text) }

// Constraint is like Regexp, for a semver constraint:
// https://github.com/Masterminds/semver#checking-version-constraints
func Constraint(owner, text string) (*semver.Constraints, error) {
	return defaultCache.constraint(owner, text)
}

// Compilations returns the number of texts that were parsed since the process started.
func Compilations() uint64 { return defaultCache.compilations.Load() }

// cache stores compiled patterns, and the errors of texts that do not compile.
type cache struct {
	maxOwnerBytes, maxBytes int // bytes
	compilations            atomic.Uint64

	mu     sync.Mutex
	bytes  int
	owners map[string]*ownerEntries
}

// ownerEntries are the entries of one owner.
type ownerEntries struct {
	bytes   int
	entries map[key]*list.Element
	lru     list.List // of *entry, most recently used first
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

// result is a compiled pattern or an error.
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
	if len(text) > MaxRegexpBytes { // not cached either
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

// get returns the cached result, or compiles the text. Concurrent callers compile it once, and other callers do not
// wait for the compilation.
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
	k.text = strings.Clone(k.text) // do not keep a larger string alive
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
	if s.entries[k] == element && c.owners[owner] == s { // not evicted in the meantime
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

// evict drops the least recently used entries of the owner while the owner is over its limit, then those of the largest
// owner while the cache is over its limit.
func (c *cache) evict(owner string) {
	for s := c.owners[owner]; s.bytes > c.maxOwnerBytes; {
		c.evictOldest(owner)
	}
	for c.bytes > c.maxBytes {
		c.evictOldest(c.largestOwner())
	}
}

// largestOwner returns the owner whose entries are the largest in total.
func (c *cache) largestOwner() (owner string) {
	most := -1
	for name, s := range c.owners {
		if s.bytes > most {
			owner, most = name, s.bytes
		}
	}
	return owner
}

// evictOldest drops the least recently used entry of an owner.
func (c *cache) evictOldest(owner string) {
	s := c.owners[owner]
	e := s.lru.Remove(s.lru.Back()).(*entry)
	delete(s.entries, e.key)
	c.charge(s, e, -e.bytes)
	if len(s.entries) == 0 {
		delete(c.owners, owner)
	}
}
