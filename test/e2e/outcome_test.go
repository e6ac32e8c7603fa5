// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// outcome is what a load has noticed of a disturbance.
type outcome struct {
	requests   int
	codes      map[int]int    // 0 is no answer
	complaints map[string]int // answers that were not 2xx
	slowest    time.Duration  // of the accepted ones
	lost       []string

	firstRefused, lastRefused time.Time
}

func (o *outcome) add(r *request) {
	o.codes[r.code]++
	if r.accepted() {
		o.slowest = max(o.slowest, r.answered.Sub(r.sent))
		return
	}
	o.complaints[fmt.Sprintf("%d %s", r.code, r.complaint)]++
	if o.firstRefused.IsZero() {
		o.firstRefused = r.sent
	}
	o.lastRefused = r.sent
}

// outage is the time without an accepted delivery.
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
	fmt.Fprintln(w, "DISTURBANCE\tREQUESTS\tANSWERS\tOUTAGE\tSLOWEST 2xx\tLOST")
	for i, o := range r.outcomes {
		fmt.Fprintf(w, "%s\t%d\t%s\t%.1f s\t%.1f s\t%d\n", r.names[i], o.requests, o.answers(), o.outage().Seconds(),
			o.slowest.Seconds(), len(o.lost))
	}
	_ = w.Flush() // into memory
	return text.String()
}
