// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"context"
	"slices"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// period is a time that a plot covers, and the width of its columns.
type period struct {
	Name, Title string
	length      time.Duration
	column      time.Duration
}

var periods = []period{
	{"1h", "1 hour", time.Hour, time.Minute},
	{"6h", "6 hours", 6 * time.Hour, 5 * time.Minute},
	{"24h", "24 hours", 24 * time.Hour, 20 * time.Minute},
	{"72h", "3 days", 72 * time.Hour, time.Hour},
}

// defaultPeriod is the index in periods of the one that is shown unless another is chosen.
const defaultPeriod = 2

// ratesContent is how many deliveries there were, and how they ended.
type ratesContent struct {
	extent

	Filter  filter
	Sources []string
	Period  period
	Periods []period
	Total   int
	// PerHour is the mean rate in the period.
	PerHour  float64
	Outcomes []outcome
	Plot     *plot
	BySource []sourceRates
	// Partial is when the oldest delivery that is kept was received, if older ones may be in the period. Zero if none.
	Partial time.Time
}

// outcome is the share of a phase.
type outcome struct {
	Phase   v1alpha1.DeliveryPhase
	Count   int
	Percent float64
}

// sourceRates are the outcomes of one type of sender.
type sourceRates struct {
	Source string
	Total  int
	Counts []int // by phases
	Last   time.Time
}

func (s *server) rates(ctx context.Context, v *visit) (*view, error) {
	snapshot := recent(ctx, v)
	values := v.URL.Query()
	c := &ratesContent{
		extent: extentOf(snapshot), Filter: filterOf(values), Sources: sourcesOf(snapshot.Records), Periods: periods,
		Period: periods[defaultPeriod],
	}
	if at := slices.IndexFunc(periods, func(p period) bool { return p.Name == values.Get("period") }); at >= 0 {
		c.Period = periods[at]
	}
	end := time.Now()
	start := end.Add(-c.Period.length)
	if n := len(snapshot.Records); n > 0 && snapshot.Older > 0 && snapshot.Records[n-1].Received.After(start) {
		c.Partial = snapshot.Records[n-1].Received
	}
	within := slices.DeleteFunc(snapshot.Records, func(r *record) bool {
		return r.Received.Before(start) || !c.Filter.matchesApartFromPhase(r)
	})
	c.Total = len(within)
	c.PerHour = float64(c.Total) / c.Period.length.Hours()
	for _, counted := range countPhases(within)[1:] {
		c.Outcomes = append(c.Outcomes, outcome{
			counted.Phase, counted.Count, 100 * float64(counted.Count) / float64(max(1, c.Total)),
		})
	}
	c.Plot = newPlot(within, end, c.Period)
	c.BySource = bySource(within)
	return &view{Title: "Rates", Content: c}, nil
}

// bySource counts the outcomes of each type of sender, the busiest first.
func bySource(newestFirst []*record) []sourceRates {
	index := map[string]int{}
	var rates []sourceRates
	for _, r := range newestFirst {
		at, known := index[r.Source]
		if !known {
			at = len(rates)
			index[r.Source] = at
			rates = append(rates, sourceRates{Source: r.Source, Counts: make([]int, len(phases)), Last: r.Received})
		}
		rates[at].Total++
		if phase := slices.Index(phases, r.Phase); phase >= 0 {
			rates[at].Counts[phase]++
		}
	}
	slices.SortFunc(rates, func(a, b sourceRates) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Source, b.Source))
	})
	return rates
}
