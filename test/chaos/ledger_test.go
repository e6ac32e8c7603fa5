// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"slices"
	"sync"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// ledger holds every request that was sent, with its answer. It is safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	entries []entry
}

// entry is one request that was sent.
type entry struct {
	request
	began, ended time.Time
	code         int    // of the answer; 0 if there was none
	refusal      string // the answer, or the lack of one, that accepted nothing
	// What the answer said, if it accepted.
	record string
	phase  v1alpha1.DeliveryPhase
}

// accepted tells whether the sender was told that it may forget what it sent.
func (e entry) accepted() bool { return e.record != "" }

// before tells whether a request is older than another beyond doubt: by the time of what they tell of, if both know it,
// and else because it was over when the other began.
func (e entry) before(other entry) bool {
	if !e.event.IsZero() && !other.event.IsZero() {
		return e.event.Before(other.event)
	}
	return e.ended.Before(other.began)
}

// send sends a request and enters it.
func (l *ledger) send(s sender, r request) answer {
	began := time.Now()
	got := s.send(r)
	l.enter(r, began, got)
	return got
}

// enter enters a request that has been answered just now, or never will be.
func (l *ledger) enter(r request, began time.Time, got answer) {
	e := entry{request: r, began: began, ended: time.Now(), code: got.code}
	if got.err != nil {
		e.code = 0 // whatever the headers said, the answer did not come to its end
	}
	if got.accepted() {
		e.record, e.phase, got.err = got.recorded()
	}
	if e.record == "" {
		e.refusal = got.String()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
}

// all returns what was entered so far.
func (l *ledger) all() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// since returns a ledger of the requests that were begun at that time or later.
func (l *ledger) since(begin time.Time) *ledger {
	later := slices.DeleteFunc(l.all(), func(e entry) bool { return e.began.Before(begin) })
	return &ledger{entries: later}
}

// accepted counts the requests that were accepted so far.
func (l *ledger) accepted() int {
	count := 0
	for _, e := range l.all() {
		if e.accepted() {
			count++
		}
	}
	return count
}

// answers counts the requests by the code of their answer.
func answers(entries []entry) map[int]int {
	codes := map[int]int{}
	for _, e := range entries {
		codes[e.code]++
	}
	return codes
}
