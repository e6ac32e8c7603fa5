// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"

	"postern.dev/postern/apis/postern"
)

// A record has no room for the results of a delivery to very many targets. While such a delivery is pending or held,
// its record therefore says up to which target all are finished, and which of those are not (except), so that a
// finished target is not retried even if its results are not listed.

// maxTriedFirst is how many targets may be failing, for causes that may pass, before only those are retried until there
// are fewer. It bounds what the record says of them.
const maxTriedFirst = 256

// maxExceptBytes bounds the names in progress.except. If more targets fail, progress.through is an earlier target, and
// the targets after it are retried.
const maxExceptBytes = 32 << 10

// progressName returns the name of a target in a delivery's progress.
func progressName(kind, name string) string { return kind + "/" + name }

// compareInProgress orders two progress names by kind and then by name.
func compareInProgress(a, b string) int {
	aKind, aName, _ := strings.Cut(a, "/")
	bKind, bName, _ := strings.Cut(b, "/")
	return compareTargets(
		postern.TargetKey{Kind: postern.TargetKind(aKind), Name: aName},
		postern.TargetKey{Kind: postern.TargetKind(bKind), Name: bName})
}

func comesAfter(a, b string) bool { return compareInProgress(a, b) > 0 }

// notFinished returns the tasks of targets that are not finished. It omits a target that began to want what was pushed
// after later targets of its kind were tried: it was not a target when the delivery was received.
func notFinished(tasks []task, p *postern.DeliveryProgress) []task {
	if p == nil {
		return tasks
	}
	except := sets.New(p.Except...)
	return slices.DeleteFunc(tasks, func(t task) bool {
		name := progressName(string(t.key.Kind), t.key.Name)
		return p.Through != "" && !comesAfter(name, p.Through) && !except.Has(name)
	})
}

// isUnfinished reports whether a target is tried again.
func isUnfinished(r postern.TargetResult) bool { return isPending(r) || isOnHold(r) }

// triedTargets returns the targets that were tried and are pending or held.
func triedTargets(results []postern.TargetResult) sets.Set[string] {
	tried := sets.New[string]()
	for _, r := range results {
		if isUnfinished(r) && !isUntried(r) {
			tried.Insert(progressName(string(r.Kind), r.Name))
		}
	}
	return tried
}

// isUntried reports whether a pending target was not tried, since its turn has not come or no time was left.
func isUntried(r postern.TargetResult) bool { return r.Reason == ReasonNotReached || isPaced(r) }

// priorityOf returns the priority of tried targets: after those not reached yet, or before them if too many were tried.
func priorityOf(tried sets.Set[string]) int {
	if len(tried) > maxTriedFirst {
		return -1
	}
	return 1
}

// countUnlisted counts the results that a record does not list, without pending and held ones, which get a result in
// each retry.
func countUnlisted(p *postern.DeliveryProgress) map[postern.TargetResultType]int {
	if p == nil {
		return map[postern.TargetResultType]int{}
	}
	return map[postern.TargetResultType]int{
		postern.TargetWritten:    int(p.Written),
		postern.TargetUnchanged:  int(p.Unchanged),
		postern.TargetSkipped:    int(p.Skipped),
		postern.TargetSuperseded: int(p.Superseded),
		postern.TargetFailed:     int(p.Failed),
	}
}

// progressAfter returns the progress of a delivery with these results, of which the record lists some and not the rest.
// It is nil if the record has always listed all results, or if the delivery is finished.
func progressAfter(
	p *postern.DeliveryProgress, phase postern.DeliveryPhase, listed, rest []postern.TargetResult,
) *postern.DeliveryProgress {
	if phase != postern.DeliveryPending && phase != postern.DeliveryHeld || p == nil && len(rest) == 0 {
		return nil
	}
	next := &postern.DeliveryProgress{}
	if p != nil {
		next = p.DeepCopy()
	}
	results := slices.Concat(listed, rest)
	next.Through = reached(results, next.Through)
	except := sets.New[string]()
	for _, r := range results {
		name := progressName(string(r.Kind), r.Name)
		if isUnfinished(r) && next.Through != "" && !comesAfter(name, next.Through) {
			except.Insert(name)
		}
	}
	next.Except, next.Pending, next.Held = sets.List(except), 0, 0
	for _, r := range rest {
		name := progressName(string(r.Kind), r.Name)
		if next.Through == "" || comesAfter(name, next.Through) || except.Has(name) {
			switch {
			case isPending(r):
				next.Pending++
			case isOnHold(r):
				next.Held++
			}
			continue // a retry determines final results again
		}
		countIn(next, r.Result)
	}
	return next
}

// reached returns the last target up to which all were tried and whose pending names fit, or through, the one of
// earlier tries, if there is none.
func reached(results []postern.TargetResult, through string) string {
	tried := triedTargets(results)
	var pending []string
	for _, r := range results {
		if isUnfinished(r) {
			pending = append(pending, progressName(string(r.Kind), r.Name))
		}
	}
	slices.SortFunc(pending, compareInProgress)
	size := 0
	for _, name := range slices.Compact(pending) {
		size += len(name)
		if beyond := through == "" || comesAfter(name, through); beyond && (!tried.Has(name) || size > maxExceptBytes) {
			return lastBefore(results, name, through)
		}
	}
	return lastBefore(results, "", through)
}

// lastBefore returns the last target before first, or of all if first is empty, or through if that is later.
func lastBefore(results []postern.TargetResult, first, through string) string {
	for _, r := range results {
		name := progressName(string(r.Kind), r.Name)
		if (first == "" || comesAfter(first, name)) && (through == "" || comesAfter(name, through)) {
			through = name
		}
	}
	return through
}

func countIn(p *postern.DeliveryProgress, result postern.TargetResultType) {
	switch result {
	case postern.TargetWritten:
		p.Written++
	case postern.TargetUnchanged:
		p.Unchanged++
	case postern.TargetSuperseded:
		p.Superseded++
	case postern.TargetSkipped:
		p.Skipped++
	case postern.TargetFailed:
		p.Failed++
	case postern.TargetPending, postern.TargetHeld: // counted anew in each retry
	}
}
