// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

func (r *report) print(out io.Writer) error {
	m := r.Machine
	fmt.Fprintf(out, "%s, %d cores, %d MiB, fsync %v ms, load %v before; %s; commit %s; %s\n",
		m.CPU, m.Cores, m.MemoryMiB, m.Fsync, m.Load, m.Go, r.Commit, r.Date.Format("2006-01-02 15:04 MST"))
	tables := [][][]string{r.figureRows(), r.sampleRows(), r.cpuRows(), r.costRows(), r.requestRows(), r.stageRows(),
		r.benchmarkRows()}
	for _, rows := range tables {
		if len(rows) < 2 {
			continue // only a heading
		}
		fmt.Fprintln(out)
		if err := printTable(out, rows); err != nil {
			return err
		}
	}
	if len(r.Profiles) > 0 {
		fmt.Fprint(out, "\nWhere the processor time went:\n")
	}
	for _, profile := range r.Profiles {
		fmt.Fprintf(out, "  go tool pprof -top -cum %s\n", profile)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(out, "\n%s\n", note)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(out, "\nWARNING: %s\n", warning)
	}
	return nil
}

func printTable(out io.Writer, rows [][]string) error {
	var aligned strings.Builder
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(aligned.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) figureRows() [][]string {
	rows := [][]string{{"FIGURE", "OURS", "BARE", "RATIO", "OF ROUNDS", "GOAL", "MET", "NOTE"}}
	for _, f := range r.Figures {
		row := []string{f.Name, number(f.Ours) + unit(f.Unit), "", "", "", "", "", f.Note}
		if f.Bare != nil {
			row[2] = number(*f.Bare) + unit(f.Unit)
		}
		if f.Ratio != nil {
			row[3] = number(*f.Ratio)
		}
		if len(f.RoundRatios) > 1 {
			row[4] = number(slices.Min(f.RoundRatios)) + " to " + number(slices.Max(f.RoundRatios))
		}
		if f.Goal != nil {
			row[5] = f.Goal.String()
			row[6] = map[bool]string{true: "yes", false: "NO"}[*f.Met]
		}
		rows = append(rows, row)
	}
	return rows
}

func (r *report) sampleRows() [][]string {
	rows := [][]string{{"SIDE", "N", "P50 ms", "P90 ms", "P99 ms", "PER SECOND", "ANSWERS"}}
	for _, s := range r.Samples {
		var answers []string
		for _, answer := range slices.Sorted(maps.Keys(s.Answers)) {
			answers = append(answers, fmt.Sprintf("%s: %d", answer, s.Answers[answer]))
		}
		rows = append(rows, []string{s.Name, strconv.Itoa(s.N), number(s.P50), number(s.P90), number(s.P99),
			number(s.PerSecond), strings.Join(answers, ", ")})
	}
	return rows
}

func (r *report) cpuRows() [][]string {
	var programs []string
	for _, s := range r.Samples {
		programs = slices.Concat(programs, slices.Collect(maps.Keys(s.CPU)))
	}
	slices.Sort(programs)
	programs = slices.Compact(programs)
	rows := [][]string{slices.Concat([]string{"PROCESSOR TIME ms EACH"}, programs)}
	for _, s := range r.Samples {
		row := []string{s.Name}
		for _, program := range programs {
			row = append(row, number(s.CPU[program]))
		}
		rows = append(rows, row)
	}
	return rows
}

// costRows has only the columns of which something was counted.
func (r *report) costRows() [][]string {
	heading := []string{"PER DELIVERY, IN POSTERN"}
	for _, column := range costColumns {
		counted := func(s summary) bool { return s.Costs[column.heading] > 0 }
		if slices.ContainsFunc(r.Samples, counted) {
			heading = append(heading, column.heading)
		}
	}
	rows := [][]string{heading}
	if len(heading) == 1 {
		return rows
	}
	for _, s := range r.Samples {
		row := []string{s.Name}
		for _, column := range heading[1:] {
			row = append(row, number(s.Costs[column]))
		}
		rows = append(rows, row)
	}
	return rows
}

func (r *report) requestRows() [][]string {
	rows := [][]string{{"REQUESTS AT THE KUBE-APISERVER", "EACH"}}
	for _, s := range r.Samples {
		var requests []string
		for _, request := range slices.Sorted(maps.Keys(s.Requests)) {
			requests = append(requests, fmt.Sprintf("%s: %s", request, number(s.Requests[request])))
		}
		rows = append(rows, []string{s.Name, strings.Join(requests, ", ")})
	}
	return rows
}

func (r *report) stageRows() [][]string {
	rows := [][]string{{"STAGES OF", "STAGE", "N", "MEAN ms"}}
	for _, s := range r.Stages {
		rows = append(rows, []string{s.Of, s.Stage, strconv.Itoa(s.Count), number(s.Mean)})
	}
	return rows
}

func (r *report) benchmarkRows() [][]string {
	rows := [][]string{{"BENCHMARK", "µs EACH", "B EACH", "ALLOCATIONS"}}
	for _, b := range r.Benchmarks {
		rows = append(rows, []string{b.Name, number(rounded(b.Values["ns/op"] / 1000)), number(b.Values["B/op"]),
			number(b.Values["allocs/op"])})
	}
	return rows
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func unit(name string) string {
	if name == "" {
		return ""
	}
	return " " + name
}
