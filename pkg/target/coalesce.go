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
func coalesce(kind Kind, requests []Request) (write []int, instead map[int]int) {
	instead = map[int]int{}
	newest, moments := map[string]int{}, map[string]moment{} // by slot
	for _, i := range byReceipt(requests) {
		r := requests[i]
		if r.Image != nil || r.IfFollowed || r.Override {
			write = append(write, i)
			continue
		}
		slot := r.slot(kind)
		rival, rivalled := newest[slot]
		last := moments[slot]
		if late, _ := last.happenedLater(r); rivalled && late {
			instead[i] = rival
			continue
		}
		// Of one that tells its time before one that does not the target must learn, too.
		if rivalled && (last.By != r.By || last.Time.IsZero() || !r.EventTime.IsZero()) {
			instead[rival] = i
			write = slices.DeleteFunc(write, func(w int) bool { return w == rival })
		}
		newest[slot], moments[slot] = i, last.followedBy(r)
		write = append(write, i)
	}
	return write, instead
}

func byReceipt(requests []Request) []int {
	order := make([]int, len(requests))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return requests[a].Received.Compare(requests[b].Received) })
	return order
}

// writeTogether writes requests of one target, the newest of rivals in place of all.
// Where that one is not held in the end, since the target has it that it comes too
// late or it fails for a cause of its own, the others are tried after all.
func (w *Writer) writeTogether(ctx context.Context, key Key, requests []Request) []Result {
	results := make([]Result, len(requests))
	write, instead := coalesce(key.Kind, requests)
	for n, result := range w.writeAll(ctx, key, pick(requests, write), false) {
		results[write[n]] = result
	}
	var again []int
	for _, i := range byReceipt(requests) {
		counts := lastOf(instead, i)
		if counts == i {
			continue
		}
		if settled, ok := beside(requests[i], requests[counts], results[counts]); ok {
			results[i] = settled
			if settled.Outcome.Held {
				w.held.note(key, requests[i], requests[i].slot(key.Kind))
			}
		} else {
			again = append(again, i)
		}
	}
	for n, result := range w.writeAll(ctx, key, retried(pick(requests, again)), false) {
		results[again[n]] = result
	}
	return results
}

// beside is the result of a request in whose place another was written, by what came
// of that; not ok if the request must be tried after all.
func beside(r, written Request, came Result) (settled Result, ok bool) {
	switch {
	case came.Err != nil:
		return came, concernsAll(came.Err)
	case came.Outcome.Held:
		return Result{Outcome: outcomeBeside(r, written, came.Outcome)}, true
	}
	return came, written.moment().happenedAfter(r.moment()) // then it comes too late as well
}

// writeAll writes requests of one target with one patch. If they can't be written
// together each is tried alone, so that none fails for another's sake.
func (w *Writer) writeAll(ctx context.Context, key Key, requests []Request, dryRun bool) []Result {
	if len(requests) == 0 {
		return nil
	}
	outcomes, err := w.attempt(ctx, key, requests, dryRun)
	results := make([]Result, len(requests))
	switch {
	case err == nil:
		for i := range requests {
			results[i].Outcome = outcomes[i]
		}
	case len(requests) == 1 || concernsAll(err):
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

// concernsAll reports whether a write failed for a cause that lies in the target and
// not in what was asked of it.
func concernsAll(err error) bool { return IsTransient(err) || apierrors.IsNotFound(err) }

// retried returns requests that must not overwrite what was received after them.
func retried(requests []Request) []Request {
	for i := range requests {
		requests[i].Retry = true
	}
	return requests
}

// outcomeBeside is the outcome of a request in whose place another was written.
func outcomeBeside(r, written Request, outcome Outcome) Outcome {
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

// lastOf follows a request that gave way to the one that was written.
func lastOf(instead map[int]int, i int) int {
	for {
		next, gaveWay := instead[i]
		if !gaveWay {
			return i
		}
		i = next
	}
}
