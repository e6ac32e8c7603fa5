// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

// coalesce orders requests for one target by receipt, and finds those that need not be written. Of the git refs that
// were requested for the target by name, only the newest in each slot is written, and before it the last one with an
// event time if the newest has none. Requests with IfFollowed and images are all written, since a target may not want
// the newest. Requests with Override are never skipped.
//
// It returns the indexes of the requests to write, in order, and for the index of each other request the index of the
// one that replaces it.
func coalesce(kind postern.TargetKind, requests []Request) (write []int, replacedBy map[int]int) {
	replacedBy = map[int]int{}
	newest, watermarks := map[string]int{}, map[string]watermark{} // by slot
	for _, i := range orderByReceipt(requests) {
		r := requests[i]
		if r.Image != nil || r.IfFollowed || r.Override {
			write = append(write, i)
			continue
		}
		slot := r.slot(kind)
		prev, exists := newest[slot]
		last := watermarks[slot]
		if late, _ := last.happenedLater(r); exists && late {
			replacedBy[i] = prev
			continue
		}
		// The target must also record the time of a request that is followed by one without a time.
		if exists && (last.By != r.Source || last.Time.IsZero() || !r.EventTime().IsZero()) {
			replacedBy[prev] = i
			write = slices.DeleteFunc(write, func(w int) bool { return w == prev })
		}
		newest[slot], watermarks[slot] = i, last.followedBy(r)
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

// writeBatch writes requests for one target, and only the newest of those that replace each other. If the target does
// not hold that one in the end, because it is stale or fails by itself, the others are tried.
func (w *Writer) writeBatch(ctx context.Context, key postern.TargetKey, requests []Request) []Result {
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

// supersededResult returns the result of a request that was replaced by written. ok is false if the request must be
// tried itself.
func supersededResult(r, written Request, result Result) (settled Result, ok bool) {
	switch {
	case result.Err != nil:
		return result, isTargetError(result.Err)
	case result.Outcome.Held:
		return Result{Outcome: supersededOutcome(r, written, result.Outcome)}, true
	}
	return result, written.watermark().happenedAfter(r.watermark()) // then r is stale too
}

// writeAll writes requests for one target with one patch. If that fails it splits them, so that no request fails
// because of another.
func (w *Writer) writeAll(ctx context.Context, key postern.TargetKey, requests []Request, dryRun bool) []Result {
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
	default: // bisect, to find the rejected request in few tries
		half := len(requests) / 2
		copy(results, w.writeAll(ctx, key, requests[:half], dryRun))
		copy(results[half:], w.writeAll(ctx, key, requests[half:], dryRun))
	}
	return results
}

// isTargetError reports whether a write failed because of the target, and not because of a request.
func isTargetError(err error) bool { return IsTransient(err) || apierrors.IsNotFound(err) }

// markRetried marks requests, in place, that must not overwrite requests received after them.
func markRetried(requests []Request) []Request {
	for i := range requests {
		requests[i].Retry = true
	}
	return requests
}

// supersededOutcome returns the outcome of a request that was replaced by written.
func supersededOutcome(r, written Request, outcome Outcome) Outcome {
	if r.Ref != written.Ref || r.Revision != written.Revision {
		return superseded("", fmt.Sprintf("%q was requested after it and replaces it", written.Ref)).Outcome
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

// finalReplacement returns the index of the request that was written in place of request i.
func finalReplacement(replacedBy map[int]int, i int) int {
	for {
		next, replaced := replacedBy[i]
		if !replaced {
			return i
		}
		i = next
	}
}
