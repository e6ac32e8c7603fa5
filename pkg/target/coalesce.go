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
// requested by the target's name only the newest in each slot counts. What is pushed
// to whoever wants it, and images, must all be looked at, since not every target
// wants the newest; and what is written again on purpose is never passed over.
//
// It returns the places of those to write, in order, and for each other one the
// place of the one that counts instead.
func coalesce(kind Kind, requests []Request) (write []int, instead map[int]int) {
	instead = map[int]int{}
	newest := map[string]int{}
	for _, i := range byReceipt(requests) {
		r := requests[i]
		if r.Image != nil || r.IfFollowed || r.Override {
			write = append(write, i)
			continue
		}
		slot := r.slot(kind)
		rival, rivalled := newest[slot]
		switch {
		case !rivalled:
			newest[slot] = i
			write = append(write, i)
		case requests[rival].moment().happenedAfter(r.moment()):
			instead[i] = rival
		default:
			newest[slot], instead[rival] = i, i
			write = append(slices.DeleteFunc(write, func(w int) bool { return w == rival }), i)
		}
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
func (w *Writer) writeTogether(ctx context.Context, key Key, requests []Request) []result {
	results := make([]result, len(requests))
	write, instead := coalesce(key.Kind, requests)
	for n, result := range w.writeAll(ctx, key, pick(requests, write)) {
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
		} else {
			again = append(again, i)
		}
	}
	for n, result := range w.writeAll(ctx, key, retried(pick(requests, again))) {
		results[again[n]] = result
	}
	return results
}

// beside is the result of a request in whose place another was written, by what came
// of that; not ok if the request must be tried after all.
func beside(r, written Request, came result) (settled result, ok bool) {
	switch {
	case came.err != nil:
		return came, concernsAll(came.err)
	case came.outcome.Held:
		return result{outcome: outcomeBeside(r, written, came.outcome)}, true
	}
	return came, written.moment().happenedAfter(r.moment()) // then it comes too late as well
}

// writeAll writes requests of one target with one patch. If they can't be written
// together each is tried alone, so that none fails for another's sake.
func (w *Writer) writeAll(ctx context.Context, key Key, requests []Request) []result {
	if len(requests) == 0 {
		return nil
	}
	outcomes, err := w.attempt(ctx, key, requests, false)
	results := make([]result, len(requests))
	for i := range requests {
		switch {
		case err == nil:
			results[i].outcome = outcomes[i]
		case len(requests) == 1 || concernsAll(err):
			results[i].err = err
		default:
			results[i] = w.writeAll(ctx, key, requests[i:i+1])[0]
		}
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
