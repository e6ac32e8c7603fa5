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

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// writeWithRetry writes requests for one target with one patch. Its error applies to all of them, as an error of Write.
func (w *Writer) writeWithRetry(ctx context.Context, key postern.TargetKey, requests []Request, dryRun bool) ([]Outcome, error) {
	a := writeOp{
		Writer: w, endpoint: w.endpoints[key.Kind], key: key, requests: w.withOrdering(key, requests),
		dryRun: dryRun, started: time.Now(),
	}
	outcomes, err := a.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("could not write %s: %w", key, wrapMissingKind(err, key.Kind))
	}
	return outcomes, nil
}

type writeOp struct {
	*Writer
	endpoint endpoint
	key      postern.TargetKey
	requests []Request
	dryRun   bool
	started  time.Time

	// failedPatch is the last patch that failed its own tests.
	failedPatch []byte
	// unconfirmed are the outcomes of a patch that may have been applied although there was no answer.
	unconfirmed []Outcome
}

// run retries until the target holds the requests, or a retry does not help.
func (a *writeOp) run(ctx context.Context) ([]Outcome, error) {
	backoff := a.retries
	for live := false; ; live = true {
		outcomes, err := a.tryOnce(ctx, live)
		if err == nil {
			return outcomes, nil
		}
		if IsTransient(err) || errors.Is(err, errPatchRejected) || !isTestFailure(err) && !isRetryable(err) {
			return nil, err
		}
		delay := max(backoff.Step(), retryAfter(err))
		if backoff.Steps < 1 || a.sleep(ctx, delay) != nil {
			return nil, &transientError{err}
		}
	}
}

// tryOnce reads, decides and patches.
func (a *writeOp) tryOnce(ctx context.Context, live bool) ([]Outcome, error) {
	plan, err := a.plan(ctx, live)
	if err != nil {
		return nil, err
	}
	if len(plan.patch) == 0 {
		a.recordHeld(plan)
		return a.restoreUnconfirmed(plan.outcomes), nil
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
			a.cache.recordWrite(a.key.Kind, written)
		}
		a.recordHeld(plan)
		return a.restoreUnconfirmed(plan.outcomes), nil
	case isTestFailure(err):
		// The patch is the same after a live read, so nothing changed in between and it will never pass.
		if bytes.Equal(patch, a.failedPatch) {
			return nil, fmt.Errorf("%w: %w", errPatchRejected, err)
		}
		a.failedPatch = patch
	case isRetryable(err):
		a.unconfirmed = plan.outcomes
		if mayHaveApplied(err) { // and other clients may have written since
			a.requests = markRetried(slices.Clone(a.requests))
		}
	}
	return nil, err
}

// recordHeld remembers the requests that the target holds now. The target may not record them itself.
func (a *writeOp) recordHeld(p plan) {
	if a.dryRun {
		return
	}
	for i, outcome := range p.outcomes {
		if outcome.Held {
			a.watermarks.record(a.key, a.requests[i], p.slots[i]...)
		}
	}
}

// restoreUnconfirmed restores the outcomes of an unconfirmed patch, for requests that the target now already holds
// because of it.
func (a *writeOp) restoreUnconfirmed(outcomes []Outcome) []Outcome {
	for i := range a.unconfirmed {
		if outcomes[i].Held && len(outcomes[i].Changes) == 0 {
			outcomes[i] = a.unconfirmed[i]
		}
	}
	return outcomes
}

// plan decides on the cached object, or on a live read if that does not suffice.
func (a *writeOp) plan(ctx context.Context, live bool) (plan, error) {
	updaters, err := a.imageUpdaters(ctx)
	if err != nil {
		return plan{}, err
	}
	if !live {
		if obj, ok := a.cache.get(a.key); ok {
			planned, err := a.planOn(ctx, snapshot{kind: a.key.Kind, obj: obj}, updaters)
			if !errors.Is(err, errCacheUncertain) {
				return planned, err
			}
		}
	}
	obj, document, err := a.endpoint.get(ctx, a.key)
	if err != nil {
		return plan{}, err
	}
	a.clock.observeObject(obj)
	return a.planOn(ctx, snapshot{kind: a.key.Kind, obj: obj, document: document}, updaters)
}

// planOn plans during a turn of the target's namespace.
func (a *writeOp) planOn(ctx context.Context, v snapshot, updaters []*imageupdate.Updater) (plan, error) {
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

// imageUpdaters returns the ImageUpdater objects that may configure the target. A patch of the target can't test them,
// so they are read live.
func (a *writeOp) imageUpdaters(ctx context.Context) ([]*imageupdate.Updater, error) {
	ofImage := func(r Request) bool { return r.Image != nil }
	if a.key.Kind != postern.TargetApplication || !slices.ContainsFunc(a.requests, ofImage) {
		return nil, nil
	}
	var since time.Time
	for _, r := range a.requests {
		started := r.Since
		if started.IsZero() {
			started = a.started
		}
		if started.After(since) {
			since = started
		}
	}
	return a.updaters.get(ctx, a.key.Namespace, since)
}

// sleep waits, or fails at once if ctx would end first.
func sleep(ctx context.Context, delay time.Duration) error {
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
