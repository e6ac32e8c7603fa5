// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// coalesce orders requests of one target that are to be written together by when they
// were received, and finds those that need not be written: of the git refs that were
// requested by the target's name only the newest in each slot counts, and before it
// the last one that tells when it happened, if the newest does not. What is pushed
// to whoever wants it, and images, must all be looked at, since not every target
// wants the newest; and what is written again on purpose is never passed over.
//
// It returns the places of those to write, in order, and for each other one the
// place of the one that counts instead.
func coalesce(kind Kind, requests []Request) (write []int, replacedBy map[int]int) {
	replacedBy = map[int]int{}
	newest, moments := map[string]int{}, map[string]watermark{} // by slot
	for _, i := range orderByReceipt(requests) {
		r := requests[i]
		if r.Image != nil || r.IfFollowed || r.Override {
			write = append(write, i)
			continue
		}
		slot := r.slot(kind)
		prev, exists := newest[slot]
		last := moments[slot]
		if late, _ := last.happenedLater(r); exists && late {
			replacedBy[i] = prev
			continue
		}
		// Of one that tells its time before one that does not the target must learn, too.
		if exists && (last.By != r.By || last.Time.IsZero() || !r.EventTime.IsZero()) {
			replacedBy[prev] = i
			write = slices.DeleteFunc(write, func(w int) bool { return w == prev })
		}
		newest[slot], moments[slot] = i, last.followedBy(r)
		write = append(write, i)
	}
	return write, replacedBy
}

func orderByReceipt(requests []Request) []int {
	order := make([]int, len(requests))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return requests[a].Received.Compare(requests[b].Received) })
	return order
}

// writeBatch writes requests of one target, the newest of rivals in place of all.
// Where that one is not held in the end, since the target has it that it comes too
// late or it fails for a cause of its own, the others are tried after all.
func (w *Writer) writeBatch(ctx context.Context, key Key, requests []Request) []Result {
	results := make([]Result, len(requests))
	write, replacedBy := coalesce(key.Kind, requests)
	for n, result := range w.writeAll(ctx, key, pick(requests, write), false) {
		results[write[n]] = result
	}
	var retry []int
	for _, i := range orderByReceipt(requests) {
		winner := finalReplacement(replacedBy, i)
		if winner == i {
			continue
		}
		if settled, ok := supersededResult(requests[i], requests[winner], results[winner]); ok {
			results[i] = settled
			if settled.Outcome.Held {
				w.watermarks.record(key, requests[i], requests[i].slot(key.Kind))
			}
		} else {
			retry = append(retry, i)
		}
	}
	for n, result := range w.writeAll(ctx, key, markRetried(pick(requests, retry)), false) {
		results[retry[n]] = result
	}
	return results
}

// supersededResult is the result of a request in whose place another was written, by what came
// of that; not ok if the request must be tried after all.
func supersededResult(r, written Request, result Result) (settled Result, ok bool) {
	switch {
	case result.Err != nil:
		return result, isTargetError(result.Err)
	case result.Outcome.Held:
		return Result{Outcome: supersededOutcome(r, written, result.Outcome)}, true
	}
	return result, written.watermark().happenedAfter(r.watermark()) // then it comes too late as well
}

// writeAll writes requests of one target with one patch. If they can't be written
// together each is tried alone, so that none fails for another's sake.
func (w *Writer) writeAll(ctx context.Context, key Key, requests []Request, dryRun bool) []Result {
	if len(requests) == 0 {
		return nil
	}
	outcomes, err := w.writeWithRetry(ctx, key, requests, dryRun)
	results := make([]Result, len(requests))
	switch {
	case err == nil:
		for i := range requests {
			results[i].Outcome = outcomes[i]
		}
	case len(requests) == 1 || isTargetError(err):
		for i := range requests {
			results[i].Err = err
		}
	default: // find the one that is refused without asking about each of the others
		half := len(requests) / 2
		copy(results, w.writeAll(ctx, key, requests[:half], dryRun))
		copy(results[half:], w.writeAll(ctx, key, requests[half:], dryRun))
	}
	return results
}

// isTargetError reports whether a write failed for a cause that lies in the target and
// not in what was asked of it.
func isTargetError(err error) bool { return IsTransient(err) || apierrors.IsNotFound(err) }

// markRetried returns requests that must not overwrite what was received after them.
func markRetried(requests []Request) []Request {
	for i := range requests {
		requests[i].Retry = true
	}
	return requests
}

// supersededOutcome is the outcome of a request in whose place another was written.
func supersededOutcome(r, written Request, outcome Outcome) Outcome {
	if r.Ref != written.Ref || r.Revision != written.Revision {
		return superseded("", fmt.Sprintf("%q was requested after it and counts instead", written.Ref)).Outcome
	}
	return Outcome{
		Previous: r.Ref, Held: true, Reason: ReasonAlreadyRequested, UID: outcome.UID,
		Message: "it was requested more than once at the same time",
	}
}

func pick(requests []Request, places []int) []Request {
	picked := make([]Request, len(places))
	for n, i := range places {
		picked[n] = requests[i]
	}
	return picked
}

// finalReplacement follows a request that gave way to the one that was written.
func finalReplacement(replacedBy map[int]int, i int) int {
	for {
		next, replaced := replacedBy[i]
		if !replaced {
			return i
		}
		i = next
	}
}
