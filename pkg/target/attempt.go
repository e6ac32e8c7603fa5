// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"postern.dev/postern/pkg/imageupdate"
)

// attempt writes requests of one target together. Its error is that of Write, and of
// all of them.
func (w *Writer) attempt(ctx context.Context, key Key, requests []Request, dryRun bool) ([]Outcome, error) {
	a := attempt{
		Writer: w, endpoint: w.endpoints[key.Kind], key: key, requests: w.informed(key, requests), dryRun: dryRun, began: time.Now(),
	}
	outcomes, err := a.untilDone(ctx)
	if err != nil {
		return nil, fmt.Errorf("could not write %s: %w", key, explain(err, key.Kind))
	}
	return outcomes, nil
}

type attempt struct {
	*Writer
	endpoint endpoint
	key      Key
	requests []Request
	dryRun   bool
	began    time.Time

	// refused is the last patch that failed its own tests.
	refused []byte
	// sent are the outcomes of a patch that may have been applied although no answer came.
	sent []Outcome
}

// untilDone tries until the target holds what is requested, or trying again is of no use.
func (a *attempt) untilDone(ctx context.Context) ([]Outcome, error) {
	backoff := a.retries
	for live := false; ; live = true {
		outcomes, err := a.once(ctx, live)
		if err == nil {
			return outcomes, nil
		}
		if IsTransient(err) || errors.Is(err, errNeverPasses) || !isTestFailure(err) && !mayPass(err) {
			return nil, err
		}
		delay := max(backoff.Step(), retryAfter(err))
		if backoff.Steps < 1 || a.pause(ctx, delay) != nil {
			return nil, &transientError{err}
		}
	}
}

// once reads, decides and patches.
func (a *attempt) once(ctx context.Context, live bool) ([]Outcome, error) {
	plan, err := a.plan(ctx, live)
	if err != nil {
		return nil, err
	}
	if len(plan.patch) == 0 {
		a.noteHeld(plan)
		return a.withSent(plan.outcomes), nil
	}
	patch, err := json.Marshal(plan.patch)
	if err != nil {
		return nil, fmt.Errorf("could not encode the patch: %w", err)
	}
	written, err := a.endpoint.patch(ctx, a.key, patch, a.dryRun)
	switch {
	case err == nil:
		if accessor, err := meta.Accessor(written); err == nil {
			for i := range plan.outcomes {
				plan.outcomes[i].UID = accessor.GetUID()
			}
		}
		if !a.dryRun {
			a.cache.wrote(a.key.Kind, written)
		}
		a.noteHeld(plan)
		return a.withSent(plan.outcomes), nil
	case isTestFailure(err):
		// The same patch after a live read: nobody changed anything in between, so
		// it will never pass.
		if bytes.Equal(patch, a.refused) {
			return nil, fmt.Errorf("%w: %w", errNeverPasses, err)
		}
		a.refused = patch
	case mayPass(err):
		a.sent = plan.outcomes
		if mayBeApplied(err) { // and others may have written since
			a.requests = retried(slices.Clone(a.requests))
		}
	}
	return nil, err
}

// noteHeld remembers what the target holds now, of which it may not tell itself.
func (a *attempt) noteHeld(p plan) {
	if a.dryRun {
		return
	}
	for i, outcome := range p.outcomes {
		if outcome.Held {
			a.held.note(a.key, a.requests[i], p.slots[i]...)
		}
	}
}

// withSent corrects outcomes that find the target holding what is requested, if it was
// our own patch that did it.
func (a *attempt) withSent(outcomes []Outcome) []Outcome {
	for i := range a.sent {
		if outcomes[i].Held && len(outcomes[i].Changes) == 0 {
			outcomes[i] = a.sent[i]
		}
	}
	return outcomes
}

// plan decides on what the cache has, or else on a live read.
func (a *attempt) plan(ctx context.Context, live bool) (plan, error) {
	updaters, err := a.imageUpdaters(ctx)
	if err != nil {
		return plan{}, err
	}
	if !live {
		if obj, ok := a.cache.get(a.key); ok {
			planned, err := a.planOn(ctx, view{kind: a.key.Kind, obj: obj}, updaters)
			if !errors.Is(err, errUnsure) {
				return planned, err
			}
		}
	}
	obj, document, err := a.endpoint.get(ctx, a.key)
	if err != nil {
		return plan{}, err
	}
	a.clock.observeOn(obj)
	return a.planOn(ctx, view{kind: a.key.Kind, obj: obj, document: document}, updaters)
}

// planOn plans when it is the turn of the target's namespace.
func (a *attempt) planOn(ctx context.Context, v view, updaters []*imageupdate.Updater) (plan, error) {
	if a.Turn != nil {
		identified := func(r Request) bool { return !r.Anonymous }
		end, err := a.Turn(ctx, a.key.Namespace, !slices.ContainsFunc(a.requests, identified))
		if err != nil {
			return plan{}, &transientError{err}
		}
		defer end()
	}
	return planFor(ctx, v, a.requests, updaters)
}

// imageUpdaters are the ImageUpdater objects that may count for the target. A patch of
// the target can't test them, so they are read live.
func (a *attempt) imageUpdaters(ctx context.Context) ([]*imageupdate.Updater, error) {
	ofImage := func(r Request) bool { return r.Image != nil }
	if a.key.Kind != KindApplication || !slices.ContainsFunc(a.requests, ofImage) {
		return nil, nil
	}
	var since time.Time
	for _, r := range a.requests {
		began := r.Since
		if began.IsZero() {
			began = a.began
		}
		if began.After(since) {
			since = began
		}
	}
	return a.updaters.in(ctx, a.key.Namespace, since)
}

// pause waits, unless the context would end before.
func pause(ctx context.Context, delay time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < delay {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
