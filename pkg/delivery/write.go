// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// maxWritesAtOnce bounds how many targets of one delivery are written at the same time.
const maxWritesAtOnce = 8

// write carries out every task, whatever comes of the others, and sets the status accordingly. Its error is what to
// answer: that sending the webhook again may help if it may for one of them.
func (d *Deliverer) write(ctx context.Context, delivery *postern.WebhookDelivery, tasks []task, dryRun bool) error {
	defer timeStage(stageWrite)()
	results := make([]postern.TargetResult, len(tasks))
	failures := make([]error, len(tasks))
	var group errgroup.Group
	group.SetLimit(maxWritesAtOnce)
	for _, ofOneTarget := range byTarget(tasks) {
		group.Go(func() error {
			for _, i := range ofOneTarget {
				results[i], failures[i] = d.writeOne(ctx, tasks[i], dryRun)
			}
			return nil
		})
	}
	_ = group.Wait() // no task stops the others
	conclude(delivery, results, d.Now())
	return worstOf(failures)
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

func (d *Deliverer) writeOne(ctx context.Context, t task, dryRun bool) (postern.TargetResult, error) {
	now := d.Now()
	if t.refused != nil {
		return skippedResult(t, *t.refused, now), nil
	}
	outcome, err := d.Targets.Write(ctx, t.key, t.request(now), dryRun)
	switch {
	case err == nil:
		return writtenResult(t, outcome, now), nil
	case t.matched && apierrors.IsNotFound(err):
		return skippedResult(t, refusal{ReasonTargetGone, "the target was deleted meanwhile"}, now), nil
	}
	return failedResult(t, err, now), err
}

// worstOf returns the answer to what failed, nil if nothing did. status.targets tells of each failure, and so the answer
// need not.
func worstOf(failures []error) error {
	failures = slices.DeleteFunc(failures, func(err error) bool { return err == nil })
	if len(failures) == 0 {
		return nil
	}
	worst := failures[max(0, slices.IndexFunc(failures, target.IsTransient))]
	if others := len(failures) - 1; others > 0 {
		worst = fmt.Errorf("%w (and %d more failed, see the delivery)", worst, others)
	}
	return answerFor(worst)
}
