// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// maxWritesAtOnce bounds how many targets of one delivery are written at the same time.
const maxWritesAtOnce = 8

// effect is what came of a task. The error is that of a target that could not be written.
type effect struct {
	result postern.TargetResult
	err    error
}

// write carries out every task, whatever comes of the others.
func (d *Deliverer) write(ctx context.Context, tasks []task, dryRun bool) []effect {
	ctx, done := startStage(ctx, stageWrite)
	defer done()
	effects := make([]effect, len(tasks))
	var group errgroup.Group
	group.SetLimit(maxWritesAtOnce)
	for _, ofOneTarget := range byTarget(tasks) {
		group.Go(func() error {
			for _, i := range ofOneTarget {
				effects[i] = d.writeOne(ctx, tasks[i], dryRun)
				klog.FromContext(ctx).V(4).Info("Target of a delivery", "kind", tasks[i].key.Kind, "target", klog.KRef(tasks[i].key.Namespace, tasks[i].key.Name),
					"ref", tasks[i].event.Ref, "result", effects[i].result.Result, "reason", effects[i].result.Reason, "dryRun", dryRun)
			}
			return nil
		})
	}
	_ = group.Wait() // no task stops the others
	return effects
}

func resultsOf(effects []effect) []postern.TargetResult {
	results := make([]postern.TargetResult, len(effects))
	for i := range effects {
		results[i] = effects[i].result
	}
	return results
}

// byTarget returns the places of each target's tasks, so that they can be carried out in their order.
func byTarget(tasks []task) [][]int {
	var groups [][]int
	place := map[target.Key]int{}
	for i, t := range tasks {
		g, found := place[t.key]
		if !found {
			g = len(groups)
			place[t.key], groups = g, append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

func (d *Deliverer) writeOne(ctx context.Context, t task, dryRun bool) effect {
	now := d.Now()
	if t.refused != nil {
		return effect{result: skippedResult(t, *t.refused, now)}
	}
	outcome, err := d.Targets.Write(ctx, t.key, t.request(now), dryRun)
	switch {
	case err == nil:
		return effect{result: writtenResult(t, outcome, now)}
	case t.matched && apierrors.IsNotFound(err):
		return effect{result: skippedResult(t, refusal{ReasonTargetGone, "the target was deleted meanwhile"}, now)}
	}
	return effect{failedResult(t, err, now), err}
}

// worstOf returns the answer to what failed, nil if nothing did. status.targets tells of each failure, and so the answer
// need not.
func worstOf(effects []effect) error {
	var failures []error
	for _, e := range effects {
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
