// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"math"
	"testing"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestPlot_CountsWhatIsInThePeriod(t *testing.T) {
	end := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	p := periods[0] // an hour, by minutes
	records := []*record{
		newRecord(1, end, v1alpha1.DeliveryApplied),
		newRecord(2, end.Add(-5*time.Second), v1alpha1.DeliveryFailed),
		newRecord(3, end.Add(-time.Minute), v1alpha1.DeliveryApplied),
		newRecord(4, end.Add(-59*time.Minute), v1alpha1.DeliveryApplied),
		newRecord(5, end.Add(-2*time.Hour), v1alpha1.DeliveryApplied),  // before
		newRecord(6, end.Add(2*time.Minute), v1alpha1.DeliveryApplied), // the clock of a replica is ahead
		newRecord(7, end, "Unknown"),
	}
	plot := newPlot(records, end, p)
	if len(plot.Columns) != 60 {
		t.Fatalf("got %d columns", len(plot.Columns))
	}
	for at, want := range map[int]int{59: 2, 58: 1, 0: 1} {
		if got := plot.Columns[at]; got.Total != want {
			t.Errorf("column %d from %s has %d, want %d", at, got.Start, got.Total, want)
		}
	}
	bars := plot.Columns[59].Bars
	if len(bars) != 2 || bars[0].Phase != v1alpha1.DeliveryApplied || bars[1].Phase != v1alpha1.DeliveryFailed {
		t.Fatalf("got bars %v", bars)
	}
	// The highest line stands for 4, so two deliveries take half of the height.
	if bars[0].Y != 150 || bars[1].Y != 100 || bars[1].Height != 50 {
		t.Errorf("got bars %v", bars)
	}
	for _, c := range plot.Columns {
		for _, b := range c.Bars {
			if b.X < 0 || b.X+b.Width > plotWidth || b.Y < 0 || math.Abs(b.Y+b.Height) > plotHeight {
				t.Errorf("a bar is outside of the plot: %v", b)
			}
		}
	}
}

func TestPlot_RoundTop(t *testing.T) {
	for n, want := range map[int]int{0: 4, 1: 4, 4: 4, 5: 8, 9: 20, 21: 40, 81: 200, 999: 2000, 10_000: 20_000} {
		if got := niceTop(n); got != want || got%ticks != 0 {
			t.Errorf("niceTop(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestRates_BySource(t *testing.T) {
	now := time.Now()
	records := []*record{
		newRecord(1, now, v1alpha1.DeliveryApplied), newRecord(2, now.Add(-1), v1alpha1.DeliveryFailed),
		newRecord(3, now.Add(-2), v1alpha1.DeliveryFailed),
	}
	records[0].Source, records[1].Source, records[2].Source = "github", "harbor", "harbor"
	rates := bySource(records)
	if len(rates) != 2 || rates[0].Source != "harbor" || rates[0].Total != 2 || rates[0].Counts[5] != 2 ||
		!rates[0].Last.Equal(now.Add(-1)) || rates[1].Source != "github" {
		t.Errorf("got %+v", rates)
	}
}
