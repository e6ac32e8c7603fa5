// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// report is the result of a run. Its JSON is for programs that compare runs of one machine.
type report struct {
	Machine    machine           `json:"machine"`
	Commit     string            `json:"commit"`
	Date       time.Time         `json:"date"`
	Settings   reportSettings    `json:"settings"`
	Figures    []figure          `json:"figures"`
	Samples    []summary         `json:"samples"`
	Stages     []stage           `json:"stages,omitempty"`
	Benchmarks []benchmarkResult `json:"benchmarks,omitempty"`
	Profiles   []string          `json:"profiles,omitempty"`
	Notes      []string          `json:"notes,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
}

type reportSettings struct {
	Only     string `json:"only,omitempty"`
	Rounds   int    `json:"rounds"`
	Duration string `json:"duration"`
	Objects  int    `json:"objects"`
}

// stage is the time that deliveries spent in a stage, according to Postern's metrics.
type stage struct {
	Of    string `json:"of"`
	Stage string `json:"stage"`
	Count int    `json:"count"`
	// Mean is in milliseconds.
	Mean float64 `json:"meanMs"`
}

func newReport(ctx context.Context, s settings) *report {
	return &report{
		Machine: thisMachine(),
		Commit:  currentCommit(ctx),
		Date:    time.Now().UTC().Truncate(time.Second),
		Settings: reportSettings{Only: s.only.String(), Rounds: s.rounds, Duration: s.duration.String(),
			Objects: s.objects},
		Figures: []figure{},
		Samples: []summary{},
	}
}

func (r *report) add(figures ...figure) { r.Figures = append(r.Figures, figures...) }

func (r *report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("could not encode the report: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("could not write the report: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("could not write the report: %w", err)
	}
	return nil
}
