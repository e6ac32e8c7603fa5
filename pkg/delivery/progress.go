// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// A record has no room for the results of a delivery to very many targets. So that a target that has come to an end is
// not tried again, whether its results are listed or not, the record also says, while the delivery is pending, up to
// which target all are finished, and which of those are not.

// maxTriedFirst is how many targets may have failed, each for a cause that may pass, before no others are tried until
// fewer have: it bounds what the record says of them.
const maxTriedFirst = 256

// maxExceptBytes bounds the names of the targets that are not finished before the last one up to which all others
// are. There may be more that fail at once; then that is an earlier one, and those behind it are tried again.
const maxExceptBytes = 32 << 10

// progressName is a target as a delivery's progress has it.
func progressName(kind, name string) string { return kind + "/" + name }

// compareInProgress orders two such names by kind and then by name.
func compareInProgress(a, b string) int {
	aKind, aName, _ := strings.Cut(a, "/")
	bKind, bName, _ := strings.Cut(b, "/")
	return compareTargets(
		target.Key{Kind: target.Kind(aKind), Name: aName}, target.Key{Kind: target.Kind(bKind), Name: bName})
}

func comesAfter(a, b string) bool { return compareInProgress(a, b) > 0 }

// notFinished returns the tasks of targets that have not come to an end. A target that began to want what was pushed
// after others of its kind, behind it in order, were tried is not among them: it was none when the delivery came.
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

// triedTargets returns the targets that are pending although they were tried.
func triedTargets(results []postern.TargetResult) sets.Set[string] {
	tried := sets.New[string]()
	for _, r := range results {
		if isPending(r) && r.Reason != ReasonNotReached {
			tried.Insert(progressName(string(r.Kind), r.Name))
		}
	}
	return tried
}

// priorityOf says whether the targets that were tried before are tried after those that were not reached yet, or, if there
// are too many of them, before.
func priorityOf(tried sets.Set[string]) int {
	if len(tried) > maxTriedFirst {
		return -1
	}
	return 1
}

// countUnlisted counts the results that a record does not list. What is pending has a result anew after each try.
func countUnlisted(p *postern.DeliveryProgress) map[postern.TargetResultType]int {
	if p == nil {
		return map[postern.TargetResultType]int{}
	}
	return map[postern.TargetResultType]int{
		postern.TargetWritten: int(p.Written), postern.TargetUnchanged: int(p.Unchanged), postern.TargetSkipped: int(p.Skipped),
		postern.TargetSuperseded: int(p.Superseded), postern.TargetFailed: int(p.Failed),
	}
}

// progressAfter returns how far a delivery has come with these results, of which the record lists some and not the
// rest; nil if it lists all there ever were, or the delivery has come to an end.
func progressAfter(
	p *postern.DeliveryProgress, phase postern.DeliveryPhase, listed, rest []postern.TargetResult,
) *postern.DeliveryProgress {
	if phase != postern.DeliveryPending || p == nil && len(rest) == 0 {
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
		if name := progressName(string(r.Kind), r.Name); isPending(r) && next.Through != "" && !comesAfter(name, next.Through) {
			except.Insert(name)
		}
	}
	next.Except, next.Pending = sets.List(except), 0
	for _, r := range rest {
		name := progressName(string(r.Kind), r.Name)
		if next.Through == "" || comesAfter(name, next.Through) || except.Has(name) {
			if isPending(r) {
				next.Pending++
			}
			continue // what of it is final is found out again
		}
		countIn(next, r.Result)
	}
	return next
}

// reached returns the last target up to which none was left for want of time, and whose names that are pending there
// is room for; that of earlier tries if there is none.
func reached(results []postern.TargetResult, through string) string {
	tried := triedTargets(results)
	var pending []string
	for _, r := range results {
		if isPending(r) {
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

// lastBefore returns the last target, or through if that comes later, before another; of all if that is empty.
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
	}
}
