// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// reactions are the results of all scenarios, in the order in which they ended.
var reactions reactionTable

// reactionTable is safe for concurrent use.
type reactionTable struct {
	mu   sync.Mutex
	rows []*reaction
}

// reaction is how long one program took to act on another.
type reaction struct {
	scenario string
	took     time.Duration // 0 if the scenario failed before
	failed   bool
}

// scenario adds a row for the test to the table. The returned function records the time since the start, which is the
// moment of Postern's answer for a consumer, and of the event for a sender.
func scenario(t *testing.T, name string) (reacted func(since time.Time)) {
	t.Helper()
	row := &reaction{scenario: name}
	t.Cleanup(func() {
		row.failed = t.Failed()
		reactions.mu.Lock()
		defer reactions.mu.Unlock()
		reactions.rows = append(reactions.rows, row)
	})
	return func(since time.Time) { row.took = time.Since(since) }
}

func (r *reactionTable) print(out io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\nSCENARIO\tSECONDS\tRESULT")
	for _, row := range r.rows {
		seconds, result := "-", "pass"
		if row.took > 0 {
			seconds = fmt.Sprintf("%.1f", row.took.Seconds())
		}
		if row.failed {
			result = "FAIL"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", row.scenario, seconds, result)
	}
	_ = table.Flush()
}
