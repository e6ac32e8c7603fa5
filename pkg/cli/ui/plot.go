// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"slices"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

const (
	// plotWidth and plotHeight are the units of the drawing, which is stretched to its place.
	plotWidth  = 1000.0
	plotHeight = 200.0
	// ticks is how many lines the vertical axis has above zero.
	ticks = 4
)

// plot is a stack of the outcomes for each part of a period.
type plot struct {
	Columns []column
	// Ticks are the labels of the vertical axis, the highest first, and Times those of the horizontal one.
	Ticks []int
	Times []string
	// Lines are the heights of the lines at the ticks.
	Lines []float64
}

// column is a part of a period.
type column struct {
	Start, End time.Time
	Total      int
	Counts     []int // by phases
	Bars       []bar
}

// bar is the part of a column that has a phase.
type bar struct {
	Phase               v1alpha1.DeliveryPhase
	X, Y, Width, Height float64
}

// newPlot draws records that were received in a period that ends with the column of end.
func newPlot(records []*record, end time.Time, p period) *plot {
	last := end.Truncate(p.column).Add(p.column)
	n := int(p.length / p.column)
	first := last.Add(-time.Duration(n) * p.column)
	columns := make([]column, n)
	for i := range columns {
		start := first.Add(time.Duration(i) * p.column)
		columns[i] = column{Start: start, End: start.Add(p.column), Counts: make([]int, len(phases))}
	}
	for _, r := range records {
		at := int(r.Received.Sub(first) / p.column)
		phase := slices.Index(phases, r.Phase)
		if r.Received.Before(first) || at >= n || phase < 0 {
			continue
		}
		columns[at].Counts[phase]++
		columns[at].Total++
	}
	highest := 0
	for _, c := range columns {
		highest = max(highest, c.Total)
	}
	top := niceTop(highest)
	for i := range columns {
		columns[i].draw(i, n, top)
	}
	return label(&plot{Columns: columns}, top, p)
}

// draw stacks the bars of the column at a position.
func (c *column) draw(position, columns, top int) {
	width := plotWidth / float64(columns)
	y := plotHeight
	for i, count := range c.Counts {
		if count == 0 {
			continue
		}
		height := plotHeight * float64(count) / float64(top)
		y -= height
		c.Bars = append(c.Bars, bar{
			Phase: phases[i], X: (float64(position) + 0.1) * width, Y: y, Width: 0.8 * width, Height: height,
		})
	}
}

// niceTop returns a round number that is not less than n and can be divided by ticks.
func niceTop(n int) int {
	for scale := 1; ; scale *= 10 {
		for _, step := range []int{1, 2, 5} {
			if top := ticks * step * scale; top >= n {
				return top
			}
		}
	}
}

func label(p *plot, top int, of period) *plot {
	for i := range ticks + 1 {
		p.Ticks = append(p.Ticks, top*(ticks-i)/ticks)
		p.Lines = append(p.Lines, plotHeight*float64(i)/ticks)
	}
	format := "15:04"
	if of.length > 24*time.Hour {
		format = "Jan 2 15:04"
	}
	const times = 4
	for i := range times + 1 {
		at := p.Columns[0].Start.Add(time.Duration(i) * of.length / times)
		p.Times = append(p.Times, at.Local().Format(format))
	}
	return p
}
