// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

const (
	// maxWritesAtOnce bounds how many targets of one delivery are written concurrently.
	maxWritesAtOnce = 8
	// maxTargetTime bounds the write to one of many targets, so that targets that hang leave time for the others.
	maxTargetTime = resumeTimeout / 2
)

// writeResult is the outcome of a task. err is set if the target could not be written.
type writeResult struct {
	result postern.TargetResult
	err    error
}

// write executes every task, even if others fail. Tasks that are not started when the context ends are pending.
func (d *Deliverer) write(ctx context.Context, tasks []task, dryRun bool) []writeResult {
	ctx, done := startStage(ctx, stageWrite)
	defer done()
	w := writePass{
		Deliverer: d, tasks: tasks, results: make([]writeResult, len(tasks)), dryRun: dryRun, began: time.Now(),
	}
	groups := byTarget(tasks)
	if !dryRun {
		d.pace(tasks, groups)
	}
	if len(groups) > maxWritesAtOnce {
		w.timeout = maxTargetTime
	}
	if len(groups) == 1 {
		w.writeTarget(ctx, groups[0])
		return w.results
	}
	var group errgroup.Group
	group.SetLimit(maxWritesAtOnce)
	for _, places := range groups {
		group.Go(func() error { w.writeTarget(ctx, places); return nil })
	}
	_ = group.Wait() // the functions return no error
	return w.results
}

func resultsOf(written []writeResult) []postern.TargetResult {
	results := make([]postern.TargetResult, len(written))
	for i := range written {
		results[i] = written[i].result
	}
	return results
}

// byTarget returns the indexes of each target's tasks, in the order of the tasks. Targets that were not tried yet are
// in the order of kind and name, by which progress is kept. The others are shuffled: otherwise targets that hang would
// keep those behind them from ever being tried. Priorities order the two groups.
func byTarget(tasks []task) [][]int {
	var groups [][]int
	place := map[postern.TargetKey]int{}
	for i, t := range tasks {
		g, found := place[t.key]
		if !found {
			g = len(groups)
			place[t.key], groups = g, append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	rand.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	slices.SortStableFunc(groups, func(a, b []int) int {
		s, t := tasks[a[0]], tasks[b[0]]
		if order := cmp.Compare(s.priority, t.priority); order != 0 || s.priority != 0 {
			return order
		}
		return compareTargets(s.key, t.key)
	})
	return groups
}

func compareTargets(a, b postern.TargetKey) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// writePass is one pass over the tasks of a delivery.
type writePass struct {
	*Deliverer
	tasks   []task
	results []writeResult
	dryRun  bool
	began   time.Time
	// timeout bounds one target if others wait for it; zero is no timeout.
	timeout time.Duration
	skipped atomic.Int64
}

// writeTarget executes the tasks of one target together, with at most one read and one write.
func (w *writePass) writeTarget(ctx context.Context, places []int) {
	ctx, cancel := w.targetContext(ctx)
	defer cancel()
	now := w.Now()
	if requests := w.requests(ctx, places, now); len(requests) > 0 {
		w.setResults(places, w.Targets.Write(ctx, w.tasks[places[0]].key, requests, w.dryRun), now)
	}
	w.logResults(ctx, places)
}

// targetContext returns the context of the write to one target.
func (w *writePass) targetContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.timeout > 0 {
		return context.WithTimeout(ctx, w.timeout)
	}
	return ctx, func() {}
}

// requests returns the requests of a target's tasks. It sets the results of the tasks that are refused, whose turn has
// not come, or for which no time is left.
func (w *writePass) requests(ctx context.Context, places []int, now time.Time) []target.Request {
	reached := ctx.Err() == nil
	var requests []target.Request
	for _, i := range places {
		switch t := w.tasks[i]; {
		case t.refused != nil:
			w.results[i] = writeResult{result: skippedResult(t, *t.refused, now)}
		case t.waits:
			w.results[i] = writeResult{pacedResult(t, now), errWaits}
		case !reached:
			w.results[i] = writeResult{notReachedResult(t, now), errNotReached}
		default:
			r := t.request(now)
			r.Since = w.began
			requests = append(requests, r)
		}
	}
	return requests
}

// setResults sets the results of the tasks that have none yet.
func (w *writePass) setResults(places []int, results []target.Result, now time.Time) {
	for _, i := range places {
		if w.results[i].result.Result == "" {
			w.results[i], results = newWriteResult(w.tasks[i], results[0], now), results[1:]
		}
	}
}

// logResults logs the results of a target. It drops the messages of skipped tasks for which no record has room.
func (w *writePass) logResults(ctx context.Context, places []int) {
	for _, i := range places {
		t, result := w.tasks[i], &w.results[i].result
		if result.Result == postern.TargetSkipped && w.skipped.Add(1) > maxResults {
			result.Message = ""
		}
		klog.FromContext(ctx).V(4).Info("Target of a delivery",
			"kind", t.key.Kind, "target", klog.KRef(t.key.Namespace, t.key.Name),
			"ref", t.event.Ref, "result", result.Result, "reason", result.Reason, "dryRun", w.dryRun)
	}
}

func newWriteResult(t task, result target.Result, now time.Time) writeResult {
	switch {
	case result.Err == nil:
		return writeResult{result: writtenResult(t, result, now)}
	case t.matched && apierrors.IsNotFound(result.Err):
		return writeResult{result: skippedResult(t, refusal{ReasonTargetGone, "the target was deleted meanwhile"}, now)}
	}
	return writeResult{failedResult(t, result.Err, now), result.Err}
}

// worstError returns the answer to failed writes, or nil if none failed. It quotes only one failure, since
// status.targets lists each.
func worstError(written []writeResult) error {
	var failures []error
	for _, e := range written {
		if e.err != nil {
			failures = append(failures, e.err)
		}
	}
	if len(failures) == 0 {
		return nil
	}
	worst := failures[max(0, slices.IndexFunc(failures, target.IsTransient))]
	if others := len(failures) - 1; others > 0 {
		worst = fmt.Errorf("%w (and %d more failed, see the delivery)", worst, others)
	}
	return answerFor(worst)
}
