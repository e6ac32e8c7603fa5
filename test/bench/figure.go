// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// figure is one line of the results.
type figure struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	// Ours is measured with Postern. Bare is measured without it, by the same client at the same kube-apiserver.
	Ours float64  `json:"ours"`
	Bare *float64 `json:"bare,omitempty"`
	// Ratio is Ours ÷ Bare, RoundRatios the same for each round: their spread shows how quiet the machine was.
	Ratio       *float64  `json:"ratio,omitempty"`
	RoundRatios []float64 `json:"roundRatios,omitempty"`
	// Goal bounds the ratio if there is one, otherwise Ours; nil if the figure is informational.
	Goal *goal  `json:"goal,omitempty"`
	Met  *bool  `json:"met,omitempty"`
	Note string `json:"note,omitempty"`
}

type goal struct {
	AtMost  *float64 `json:"atMost,omitempty"`
	AtLeast *float64 `json:"atLeast,omitempty"`
}

func atMost(bound float64) *goal  { return &goal{AtMost: &bound} }
func atLeast(bound float64) *goal { return &goal{AtLeast: &bound} }

func (g goal) met(value float64) bool {
	return (g.AtMost == nil || value <= *g.AtMost) && (g.AtLeast == nil || value >= *g.AtLeast)
}

func (g goal) String() string {
	if g.AtMost != nil {
		return fmt.Sprintf("≤ %v", *g.AtMost)
	}
	return fmt.Sprintf("≥ %v", *g.AtLeast)
}

// alone returns a figure without a bare side. The goal may be nil.
func alone(name, unit string, ours float64, g *goal) figure {
	f := figure{Name: name, Unit: unit, Ours: rounded(ours), Goal: g}
	if g != nil {
		met := g.met(ours)
		f.Met = &met
	}
	return f
}

// compared returns a figure of two sides. If bare is 0 there is no ratio, and no goal is met.
func compared(name, unit string, ours, bare float64, rounds []float64, g *goal) figure {
	f := figure{Name: name, Unit: unit, Ours: rounded(ours), RoundRatios: rounds, Goal: g}
	met := false
	if bare > 0 {
		bareRounded, ratio := rounded(bare), rounded(ours/bare)
		f.Bare, f.Ratio = &bareRounded, &ratio
		met = g != nil && g.met(ours/bare)
	}
	if g != nil {
		f.Met = &met
	}
	return f
}
