// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// outcome is what a load has noticed of a disturbance.
type outcome struct {
	requests   int
	codes      map[int]int    // of the first attempts; 0 is no answer
	complaints map[string]int // answers that were not 2xx
	slowest    time.Duration  // of the first attempts that were accepted
	refused    int            // requests that were not accepted, and not when they were sent again either
	lost       []string

	firstRefused, lastRefused time.Time
}

func (o *outcome) add(r *request) {
	first, last := r.attempts[0], r.attempts[len(r.attempts)-1]
	o.codes[first.code]++
	if first.accepted() {
		o.slowest = max(o.slowest, first.answered.Sub(first.sent))
		return
	}
	o.complaints[fmt.Sprintf("%d %s", first.code, first.complaint)]++
	if !last.accepted() {
		o.refused++
	}
	if o.firstRefused.IsZero() {
		o.firstRefused = first.sent
	}
	o.lastRefused = first.sent
}

// outage is the time from the first to the last first attempt that was not accepted.
func (o *outcome) outage() time.Duration {
	if o.firstRefused.IsZero() {
		return 0
	}
	return o.lastRefused.Sub(o.firstRefused) + time.Second/loadRate
}

// answers lists the number of answers by code.
func (o *outcome) answers() string {
	var answers []string
	for _, code := range slices.SortedFunc(maps.Keys(o.codes), func(a, b int) int { return cmp.Compare(b, a) }) {
		name := fmt.Sprint(code)
		if code == 0 {
			name = "none"
		}
		answers = append(answers, fmt.Sprintf("%s: %d", name, o.codes[code]))
	}
	return strings.Join(answers, ", ")
}

func TestOutcome_CountsFirstAttemptsAndRetries(t *testing.T) {
	start := time.Now()
	at := func(sent time.Duration, code int) *attempt {
		return &attempt{
			sent: start.Add(sent), answered: start.Add(sent + 10*time.Millisecond), answer: answer{code: code},
		}
	}
	o := &outcome{codes: map[int]int{}, complaints: map[string]int{}}
	for _, r := range []*request{
		{attempts: []*attempt{at(0, 202)}},
		{attempts: []*attempt{at(100*time.Millisecond, 503), at(1100*time.Millisecond, 503)}},
		{attempts: []*attempt{at(500*time.Millisecond, 0), at(1500*time.Millisecond, 202)}},
		{attempts: []*attempt{at(600*time.Millisecond, 202)}},
	} {
		o.add(r)
	}
	if got, want := o.answers(), "503: 1, 202: 2, none: 1"; got != want {
		t.Errorf("the first answers are %q, want %q", got, want)
	}
	if o.refused != 1 {
		t.Errorf("%d were refused twice, want 1", o.refused)
	}
	if want := 500 * time.Millisecond; o.outage() != want {
		t.Errorf("the outage is %v, want %v", o.outage(), want)
	}
}

// report has the outcome of each disturbance.
type report struct {
	names    []string
	outcomes []*outcome
}

// disturbances is printed at the end.
var disturbances report

func (r *report) add(name string, o *outcome) {
	r.names, r.outcomes = append(r.names, name), append(r.outcomes, o)
}

func (r *report) table() string {
	if len(r.names) == 0 {
		return ""
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "DISTURBANCE\tREQUESTS\tANSWERS\tOUTAGE\tSLOWEST 2xx\tREFUSED TWICE\tLOST")
	for i, o := range r.outcomes {
		fmt.Fprintf(w, "%s\t%d\t%s\t%.1f s\t%.1f s\t%d\t%d\n", r.names[i], o.requests, o.answers(),
			o.outage().Seconds(), o.slowest.Seconds(), o.refused, len(o.lost))
	}
	_ = w.Flush() // into memory
	return text.String()
}
