// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/text"
)

// A target with the annotation postern.AnnotationHold gets nothing until the annotation is removed. The decision on a
// request tests the annotation like everything else that it read, so that a hold which is set during a write prevents
// it.

// HoldOf returns why an object with these annotations is held; held is false if it is not.
func HoldOf(annotations map[string]string) (why string, held bool) {
	value, present := annotations[postern.AnnotationHold]
	return value, present && value != "false"
}

// ReleaseCommand returns the command that releases a target.
func ReleaseCommand(key postern.TargetKey) string {
	kind, ok := lookupKind(key.Kind)
	if !ok {
		return ""
	}
	return fmt.Sprintf("kubectl annotate %s %s -n %s %s-", kind.resource().GroupResource(), key.Name, key.Namespace,
		postern.AnnotationHold)
}

// maxHoldBytes bounds what is quoted of the reason for a hold.
const maxHoldBytes = 512

// checkHold returns the decision about a request that may not be written now: the delivery or the target is held, or
// the target was rolled back by hand, and is held from now on; otherwise nil. The request must be wanted by the target.
func (b *patchBuilder) checkHold(kind targetKind, obj object, places ...place) *decision {
	b.testAnnotation(postern.AnnotationHold)
	if b.released {
		return nil
	}
	if why := b.request.Hold; why != "" {
		return b.onHold(ReasonDeliveryHeld, "the delivery is held: "+text.Plain(why, maxHoldBytes))
	}
	why, held := HoldOf(b.annotations)
	if !held {
		return b.checkRolledBack(kind, obj, places)
	}
	reason := ReasonHeld
	if strings.HasPrefix(why, ReasonRolledBack+":") {
		reason = ReasonRolledBack
	}
	return b.onHold(reason, holdMessage(targetKeyOf(kind, obj), why))
}

// unlessHeld returns the decision of decide, or the one about a request that may not be written now.
func (b *patchBuilder) unlessHeld(kind targetKind, obj object, decide func() decision) decision {
	if held := b.checkHold(kind, obj); held != nil {
		return *held
	}
	return decide()
}

// holdMessage says why a target is held, if the annotation does, and how to release it.
func holdMessage(key postern.TargetKey, why string) string {
	held := "held"
	if why != "" && why != "true" {
		held += " (" + text.Plain(why, maxHoldBytes) + ")"
	}
	return held + ", until it is released: " + ReleaseCommand(key)
}

func (b *patchBuilder) onHold(reason, message string) *decision {
	d := b.conclude(reason, message)
	d.OnHold = true
	return &d
}

// targetKeyOf returns the key of a target.
func targetKeyOf(kind targetKind, obj object) postern.TargetKey {
	return postern.TargetKey{Kind: kind.resource().kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// Contest finds, among requests that are held at one target, those that need not be written once it is released, since
// another one replaces them. It decides on them as if the target were released now, in their order of receipt. Their
// results have the reason Superseded; those of the others are empty.
//
// Requests whose deliveries are held themselves may be released later than others, or never, so they replace only each
// other.
func (w *Writer) Contest(ctx context.Context, key postern.TargetKey, requests []Request) ([]Result, error) {
	results := make([]Result, len(requests))
	var all, released []int
	for _, i := range orderByReceipt(requests) {
		all = append(all, i)
		if requests[i].Hold == "" {
			released = append(released, i)
		}
	}
	contests := [][]int{released}
	if len(released) < len(all) {
		contests = append(contests, all)
	}
	for n, places := range contests {
		lost, err := w.contest(ctx, key, pick(requests, places))
		if err != nil {
			return nil, err
		}
		for at, result := range lost {
			if i := places[at]; n == 0 || requests[i].Hold != "" {
				results[i] = result
			}
		}
	}
	return results, nil
}

// contest returns the results of the requests, in order of receipt, that others replace, by their index.
func (w *Writer) contest(ctx context.Context, key postern.TargetKey, requests []Request) (map[int]Result, error) {
	lost := map[int]Result{}
	if len(requests) == 0 {
		return lost, nil
	}
	decisions, err := w.decideReleased(ctx, key, requests)
	if err != nil {
		return nil, err
	}
	for i, d := range decisions {
		switch {
		case d.Reason == ReasonSuperseded:
			lost[i] = Result{Reason: ReasonSuperseded, Message: d.Message}
		case d.Held:
			if by := replacement(decisions, i); by > i {
				lost[i] = Result{Reason: ReasonSuperseded, Message: fmt.Sprintf(
					"%q was requested after it, and replaces it while both are held", requests[by].Ref)}
			}
		default:
			alone, err := w.decideReleased(ctx, key, requests[i:i+1])
			if err != nil {
				return nil, err
			}
			if alone[0].Held {
				lost[i] = Result{Reason: ReasonSuperseded, Message: "another request that is held replaces it: " +
					d.Message}
			}
		}
	}
	return w.confirmContest(ctx, key, requests, lost)
}

// confirmContest returns lost if the target takes the other requests also without those that are lost, and no result
// otherwise: a request may win only because one before it was of another sender, whose times are not compared.
func (w *Writer) confirmContest(
	ctx context.Context, key postern.TargetKey, requests []Request, lost map[int]Result,
) (map[int]Result, error) {
	var left []Request
	for i, r := range requests {
		if _, isLost := lost[i]; !isLost {
			left = append(left, r)
		}
	}
	if len(lost) == 0 || len(left) == 0 {
		return lost, nil
	}
	decisions, err := w.decideReleased(ctx, key, left)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(decisions, func(d decision) bool { return !d.Held }) {
		return map[int]Result{}, nil
	}
	return lost, nil
}

// replacement returns the index of the last decision that replaces decision i in all of its slots; i if there is none.
func replacement(decisions []decision, i int) int {
	by := i
	if len(decisions[i].Slots) == 0 { // a request to look again, of which one suffices
		for j := i + 1; j < len(decisions); j++ {
			if decisions[j].Held && len(decisions[j].Slots) == 0 {
				by = j
			}
		}
		return by
	}
	for _, slot := range decisions[i].Slots {
		last := i
		for j := i + 1; j < len(decisions); j++ {
			if decisions[j].Held && slices.Contains(decisions[j].Slots, slot) {
				last = j
			}
		}
		if last == i {
			return i
		}
		by = last
	}
	return by
}

// decideReleased returns the decisions on requests as if nothing were held.
func (w *Writer) decideReleased(ctx context.Context, key postern.TargetKey, requests []Request) (
	[]decision, error,
) {
	if _, ok := lookupKind(key.Kind); !ok {
		return nil, fmt.Errorf("could not write %s: a ref cannot be written to this kind", key)
	}
	a := writeAttempt{
		Writer: w, key: key, requests: requests, dryRun: true, live: true,
		state: planState{
			maxReceived: w.clock.maxReceived(), held: w.watermarks.get(key), shared: w.Shared, released: true,
		},
	}
	p, err := a.plan(ctx)
	if err != nil && (isRetryable(err) || errors.Is(err, context.DeadlineExceeded)) {
		err = &transientError{err}
	}
	return p.decisions, err
}

// IsHeld reports whether a target is held, as far as the cache knows it. A target that is not in the cache is.
func (w *Writer) IsHeld(key postern.TargetKey) bool {
	obj, ok := w.cache.get(key)
	if !ok {
		return true
	}
	_, held := HoldOf(obj.GetAnnotations())
	return held
}

// WatchHolds calls changed with each target that exists when it begins, whose hold has changed since then, or that is
// deleted, until ctx ends. changed must not block. The Writer must have a cache.
func (w *Writer) WatchHolds(ctx context.Context, changed func(postern.TargetKey)) error {
	for _, name := range kindNames() {
		informer := w.cache.kinds[name].informer
		notify := func(obj object) {
			changed(postern.TargetKey{Kind: name, Namespace: obj.GetNamespace(), Name: obj.GetName()})
		}
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(item any) {
				if obj, ok := item.(object); ok {
					notify(obj)
				}
			},
			UpdateFunc: func(before, item any) {
				old, _ := before.(object)
				obj, ok := item.(object)
				if ok && (old == nil || holdValue(old) != holdValue(obj)) {
					notify(obj)
				}
			},
			DeleteFunc: func(item any) {
				if deleted, ok := item.(cache.DeletedFinalStateUnknown); ok {
					item = deleted.Obj
				}
				if obj, ok := item.(object); ok {
					notify(obj)
				}
			},
		})
		if err != nil {
			return fmt.Errorf("could not watch the holds of %s: %w", name, err)
		}
		context.AfterFunc(ctx, func() { _ = informer.RemoveEventHandler(registration) })
	}
	return nil
}

func holdValue(obj object) string { return obj.GetAnnotations()[postern.AnnotationHold] }
