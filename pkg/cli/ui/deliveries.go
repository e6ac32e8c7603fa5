// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"slices"
	"strconv"
)

// pageRows is how many deliveries are shown at a time.
const pageRows = 50

// deliveriesContent is the list of recent deliveries.
type deliveriesContent struct {
	extent

	Filter   filter
	Sources  []string
	Phases   []phaseCount
	Rows     []*record
	From, To int
	Matching int
	// Number is the number of the page, from 1. Newer and Older are the numbers of its neighbors, 0 if there is none.
	Number, Newer, OlderPage int
	// AllNamespaces is whether each row names its namespace.
	AllNamespaces bool
}

// extent says what of all deliveries a page is about.
type extent struct {
	// Kept is the number of deliveries that the page has, and Older the number of older ones that exist.
	Kept, Older int
	// Reading is whether there may be more that have not been read yet.
	Reading bool
	// ListProblem and WatchProblem say why nothing is shown, and why it is not updated. Empty if there is none.
	ListProblem, WatchProblem string
}

// Sum is the number of all deliveries.
func (e extent) Sum() int { return e.Kept + e.Older }

func extentOf(s snapshot) extent {
	e := extent{Kept: len(s.Records), Older: s.Older}
	if s.ListProblem != nil {
		e.ListProblem = explain(s.ListProblem)
	} else {
		e.Reading = !s.Complete
	}
	if s.WatchProblem != nil {
		e.WatchProblem = explain(s.WatchProblem)
	}
	return e
}

// recent returns what the feed of a visit has, after all was read or the time for the first screen is over.
func recent(ctx context.Context, v *visit) snapshot {
	if v.since.IsZero() {
		ctx, cancel := context.WithTimeout(ctx, firstScreen)
		defer cancel()
		v.feed.wait(ctx)
	}
	return v.feed.snapshot()
}

func (s *server) deliveries(ctx context.Context, v *visit) (*view, error) {
	snapshot := recent(ctx, v)
	f := filterOf(v.URL.Query())
	c := &deliveriesContent{
		extent: extentOf(snapshot), Filter: f, Sources: sourcesOf(snapshot.Records), AllNamespaces: v.namespace == "",
	}
	others := slices.DeleteFunc(snapshot.Records, func(r *record) bool { return !f.matchesApartFromPhase(r) })
	c.Phases = countPhases(others)
	matching := slices.DeleteFunc(others, func(r *record) bool { return !f.matches(r) })
	c.Matching = len(matching)
	c.paginate(matching, v.URL.Query().Get("page"))

	shown := &view{Title: "Deliveries", Content: c}
	if fresh := countSince(matching, v); fresh > 0 {
		shown.News = plural(fresh, "new delivery", "new deliveries") + " since " + clock(v.since)
	}
	return shown, nil
}

func (c *deliveriesContent) paginate(matching []*record, number string) {
	last := max(1, (len(matching)+pageRows-1)/pageRows)
	c.Number = 1
	if n, err := strconv.Atoi(number); err == nil {
		c.Number = min(max(n, 1), last)
	}
	from := (c.Number - 1) * pageRows
	c.Rows = matching[from:min(from+pageRows, len(matching))]
	c.From, c.To = from+1, from+len(c.Rows)
	c.Newer = c.Number - 1
	if c.Number < last {
		c.OlderPage = c.Number + 1
	}
}

func countSince(newestFirst []*record, v *visit) int {
	if v.since.IsZero() {
		return 0
	}
	n := slices.IndexFunc(newestFirst, func(r *record) bool { return r.Received.Before(v.since) })
	if n < 0 {
		return len(newestFirst)
	}
	return n
}
