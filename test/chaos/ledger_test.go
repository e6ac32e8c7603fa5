// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"slices"
	"sync"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// ledger has all requests and their answers. It is safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	entries []entry
}

// incomplete is the code of a request without a whole answer.
const incomplete = 0

// entry is a request with its answer.
type entry struct {
	request
	began, ended time.Time
	code         int    // incomplete without a whole answer
	refusal      string // why the request was not accepted: the answer, or the error
	// From the answer, if the request was accepted.
	record string
	phase  v1alpha1.DeliveryPhase
}

// accepted reports whether the answer accepted the request.
func (e entry) accepted() bool { return e.record != "" }

// before reports whether e is certainly older than other: by event time if both have one, otherwise because e was
// answered before other began.
func (e entry) before(other entry) bool {
	if !e.event.IsZero() && !other.event.IsZero() {
		return e.event.Before(other.event)
	}
	return e.ended.Before(other.began)
}

// send sends a request and records it.
func (l *ledger) send(s sender, r request) answer {
	began := time.Now()
	got := s.send(r)
	l.enter(r, began, got)
	return got
}

// enter records a request with its final answer or error.
func (l *ledger) enter(r request, began time.Time, got answer) {
	e := entry{request: r, began: began, ended: time.Now(), code: got.code}
	if got.err != nil {
		e.code = incomplete // the headers arrived, but not the whole answer
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

func (l *ledger) all() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// since returns a ledger of the requests that began at or after begin.
func (l *ledger) since(begin time.Time) *ledger {
	later := slices.DeleteFunc(l.all(), func(e entry) bool { return e.began.Before(begin) })
	return &ledger{entries: later}
}

func (l *ledger) accepted() int {
	count := 0
	for _, e := range l.all() {
		if e.accepted() {
			count++
		}
	}
	return count
}

// answers counts requests by answer code.
func answers(entries []entry) map[int]int {
	codes := map[int]int{}
	for _, e := range entries {
		codes[e.code]++
	}
	return codes
}
