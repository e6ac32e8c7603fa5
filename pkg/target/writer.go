// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// Objects that Resolve has read are kept for the write that follows.
const (
	resolvedTTL = 10 * time.Second
	maxResolved = 256
)

// Writer writes requests to targets. It is safe for concurrent use once its exported fields are set.
type Writer struct {
	// Turn waits until a namespace may use a processor, and returns a function that ends the turn. The Writer takes a
	// turn to plan a write, whose cost depends on the target's content and on the number of requests, but not to read
	// or patch the target. anonymous is true if all requests are of unauthenticated senders. If Turn fails, the error
	// of the write satisfies IsTransient. A caller must not wait for a Write during a turn. If Turn is nil planning
	// does not wait.
	Turn func(ctx context.Context, namespace string, anonymous bool) (end func(), err error)

	// Shared says that other processes write targets, too. A request for a ref that is already requested is then
	// recorded on the target with a patch, since they would otherwise learn of it only from its record. Without Shared
	// the Writer just remembers it.
	Shared bool

	clients    map[postern.TargetKind]client
	cache      *Cache
	holds      *holdList // nil without a cache
	clock      *Clock
	watermarks *watermarkCache
	updaters   *updaterLister
	batcher    *batcher
	// resolved has the objects that Resolve has read, by key. They are as uncertain as those in the cache.
	resolved *utilcache.LRUExpireCache
	// retries has one step for each try.
	retries wait.Backoff
	// sleep waits between two tries, or returns an error at once if waiting is pointless.
	sleep func(context.Context, time.Duration) error
}

// NewWriter returns a Writer that uses the API server in cfg, and reads from cache where that suffices. cache may be
// nil if no images are requested of Applications.
func NewWriter(cfg *rest.Config, cache *Cache) (*Writer, error) {
	clients, err := newClients(cfg, resources())
	if err != nil {
		return nil, err
	}
	w := &Writer{
		clients:    clients,
		cache:      cache,
		clock:      NewClock(time.Now),
		watermarks: newWatermarkCache(maxCachedTargets),
		updaters: newUpdaterLister(func(ctx context.Context, namespace string) ([]*imageupdate.Updater, error) {
			return clients[imageUpdaterResource.kind].listUpdaters(ctx, namespace, cache.updatersIn(namespace))
		}),
		resolved: utilcache.NewLRUExpireCache(maxResolved),
		// Less than three seconds in total, unless the API server asks for longer delays.
		retries: wait.Backoff{Duration: 10 * time.Millisecond, Factor: 3, Jitter: 1, Steps: 6},
		sleep:   sleep,
	}
	if cache != nil {
		w.clock, w.holds = cache.clock, cache.holds
	}
	w.batcher = newBatcher(w.writeBatch)
	return w, nil
}

// Stamp returns the time of a receipt, by a Clock that observes the receipts recorded on targets.
func (w *Writer) Stamp() time.Time { return w.clock.Stamp() }

// RecordHeld records that a target held requests, as found by another process, or by this one before a restart.
// Requests received before them are no longer written.
func (w *Writer) RecordHeld(key postern.TargetKey, requests ...Request) {
	kind, ok := lookupKind(key.Kind)
	if !ok {
		return
	}
	for _, r := range requests {
		w.clock.Observe(r.Received)
		slot := kind.gitSlot(r)
		if r.Image != nil {
			slot = imageNameSlot(r.Image.Name())
		}
		if slot != noSlot {
			w.watermarks.record(key, r, slot)
		}
	}
}

// owedSlot is the slot of the last request in a slot that could not be written. It is never written to a target.
func owedSlot(slot string) string { return "owed:" + slot }

// RecordOwed records that requests for git refs failed to be written to a target, according to a record, and are not
// retried. Only Applications can be left out of a later push.
func (w *Writer) RecordOwed(key postern.TargetKey, requests ...Request) {
	if key.Kind != postern.TargetApplication {
		return
	}
	for _, r := range requests {
		w.watermarks.record(key, r, owedSlot(applicationKind{}.gitSlot(r)))
	}
}

// owesRefresh reports whether a request for the same repository could not be written to a target, and none that was
// received later was.
func (w *Writer) owesRefresh(key postern.TargetKey, r Request) bool {
	slot, noted := applicationKind{}.gitSlot(r), w.watermarks.get(key)
	owed, known := noted[slotKey(owedSlot(slot))]
	if !known {
		return false
	}
	written := noted[slotKey(slot)].Received
	if obj, ok := w.cache.get(key); ok {
		if recorded := parseWatermarks(obj.GetAnnotations())[slot].Received; recorded.After(written) {
			written = recorded
		}
	}
	return owed.Received.After(written)
}

// Resolve checks that a target exists. It returns the same errors as Write. If live is set it reads the object from the
// API server even if it is cached. An object that it reads is kept for Choose and the next Write, which then do not
// read it again.
func (w *Writer) Resolve(ctx context.Context, key postern.TargetKey, live bool) error {
	kind, ok := lookupKind(key.Kind)
	if !ok {
		return fmt.Errorf("could not find %s: a ref cannot be written to this kind", key)
	}
	_, cached := w.cache.get(key)
	if cached && !live {
		return nil
	}
	obj, _, err := w.read(ctx, key)
	switch {
	case err == nil:
		w.cache.update(key.Kind, obj) // also if it is not cached: the watch may deliver an older one now
		if !cached {
			kind.resource().trim(obj)
			w.resolved.Add(key, obj, resolvedTTL)
		}
		return nil
	case isRetryable(err):
		return fmt.Errorf("could not find %s: %w", key, &transientError{err})
	}
	return fmt.Errorf("could not find %s: %w", key, wrapMissingKind(err, key.Kind))
}

// read reads a target from the API server.
func (w *Writer) read(ctx context.Context, key postern.TargetKey) (object, []byte, error) {
	obj, document, err := w.clients[key.Kind].get(ctx, key)
	if err == nil {
		w.clock.observeObject(obj)
	}
	return obj, document, err
}

// cached returns a target from the cache, or once as Resolve has read it.
func (w *Writer) cached(key postern.TargetKey) (object, bool) {
	defer w.resolved.Remove(key)
	return w.peek(key)
}

// peek returns a target from the cache, or as Resolve has read it.
func (w *Writer) peek(key postern.TargetKey) (object, bool) {
	if obj, ok := w.cache.get(key); ok {
		return obj, true
	}
	resolved, _ := w.resolved.Get(key)
	obj, ok := resolved.(object)
	return obj, ok
}

// Write writes requests to a target, as far as the target wants them, and returns one result for each. The requests are
// written in their order of receipt. Together with concurrent requests for the same target they cost one read and one
// write, unless the target changes in between. Write does not wait beyond the deadline of ctx. A dry run only
// determines the results.
func (w *Writer) Write(
	ctx context.Context, key postern.TargetKey, requests []Request, dryRun bool,
) (results []Result) {
	if _, ok := lookupKind(key.Kind); !ok {
		err := fmt.Errorf("could not write %s: a ref cannot be written to this kind", key)
		return failedResults(len(requests), err)
	}
	if !dryRun {
		return w.batcher.do(ctx, key, requests)
	}
	defer recoverPanic(ctx, key, len(requests), &results)
	return w.write(ctx, key, requests, true)
}

// write writes requests for one target with one patch, and retries until the target holds them or a retry does not
// help. If the patch fails it splits the requests, so that no request fails because of another.
func (w *Writer) write(ctx context.Context, key postern.TargetKey, requests []Request, dryRun bool) []Result {
	if len(requests) == 0 {
		return nil
	}
	a := writeAttempt{
		Writer: w, key: key, requests: requests, dryRun: dryRun, started: time.Now(),
		state: planState{maxReceived: w.clock.maxReceived(), held: w.watermarks.get(key), shared: w.Shared},
	}
	var err error
	for backoff := w.retries; ; a.live = true {
		var results []Result
		if results, err = a.try(ctx); err == nil {
			return results
		}
		if IsTransient(err) || errors.Is(err, errPatchRejected) || !isTestFailure(err) && !isRetryable(err) {
			break
		}
		delay := max(backoff.Step(), retryAfter(err))
		if backoff.Steps < 1 || w.sleep(ctx, delay) != nil {
			err = &transientError{err}
			break
		}
	}
	if len(requests) == 1 || isTargetError(err) {
		err = fmt.Errorf("could not write %s: %w", key, wrapMissingKind(err, key.Kind))
		return failedResults(len(requests), err)
	}
	half := len(requests) / 2 // finds the rejected request in few tries
	return append(w.write(ctx, key, requests[:half], dryRun), w.write(ctx, key, requests[half:], dryRun)...)
}

// writeAttempt is a write of requests to one target, which may take several tries.
type writeAttempt struct {
	*Writer
	key      postern.TargetKey
	requests []Request
	dryRun   bool
	started  time.Time
	state    planState
	// live is set if the cache does not suffice.
	live bool

	// failedPatch is the last patch that failed its own tests.
	failedPatch []byte
	// unconfirmed are the decisions of a patch that may have been applied although there was no answer.
	unconfirmed []decision
}

// try reads, decides and patches.
func (a *writeAttempt) try(ctx context.Context) ([]Result, error) {
	plan, err := a.plan(ctx)
	if err != nil {
		return nil, err
	}
	if len(plan.patch) == 0 {
		return a.finish(plan, nil), nil
	}
	patch, err := json.Marshal(plan.patch)
	if err != nil {
		return nil, fmt.Errorf("could not encode the patch: %w", err)
	}
	var begun []*hold
	if !a.dryRun {
		begun = a.holds.begin(a.key, a.requests, plan.decisions)
	}
	written, err := a.clients[a.key.Kind].patch(ctx, a.key, patch, a.dryRun)
	if err != nil {
		written = nil
	}
	a.holds.end(begun, written)
	switch {
	case err == nil:
		return a.finish(plan, written), nil
	case isTestFailure(err):
		// The patch is the same after a live read, so nothing changed in between and it will never pass.
		if bytes.Equal(patch, a.failedPatch) {
			return nil, fmt.Errorf("%w: %w", errPatchRejected, err)
		}
		a.failedPatch = patch
	case isRetryable(err):
		a.unconfirmed = plan.decisions
		if mayHaveApplied(err) { // and other clients may have written since
			a.requests = markRetried(slices.Clone(a.requests))
		}
	}
	return nil, err
}

// finish returns the results of a plan, whose patch returned the object written; nil if there was nothing to patch. It
// remembers the requests that the target holds now: the target may not record them itself.
func (a *writeAttempt) finish(p plan, written object) []Result {
	results := make([]Result, len(p.decisions))
	for i, d := range p.decisions {
		if a.unconfirmed != nil && d.Held && len(d.Changes) == 0 {
			d.Result = a.unconfirmed[i].Result // the target holds it because of that patch
		}
		if written != nil {
			d.UID = written.GetUID()
		}
		if d.Held && !a.dryRun {
			a.watermarks.record(a.key, a.requests[i], d.Slots...)
		}
		results[i] = d.Result
	}
	if written != nil && !a.dryRun {
		a.cache.update(a.key.Kind, written)
	}
	return results
}

// plan decides on the cached object, or on a live read if that does not suffice.
func (a *writeAttempt) plan(ctx context.Context) (plan, error) {
	kind, _ := lookupKind(a.key.Kind)
	wantsImage := slices.ContainsFunc(a.requests, func(r Request) bool { return r.Image != nil })
	if wantsImage && kind.resource().imageHandler != nil {
		// A patch of the target can't test the ImageUpdater objects, so they are read live.
		var err error
		if a.state.updaters, err = a.updaters.get(ctx, a.key.Namespace, a.since()); err != nil {
			return plan{}, err
		}
	}
	if !a.live {
		if obj, ok := a.cached(a.key); ok {
			p, err := a.planOn(ctx, snapshot{kind: kind, obj: obj})
			if !errors.Is(err, errCacheUncertain) {
				return p, err
			}
		}
	}
	obj, document, err := a.read(ctx, a.key)
	if err != nil {
		return plan{}, err
	}
	return a.planOn(ctx, snapshot{kind: kind, obj: obj, document: document})
}

// planOn plans during a turn of the target's namespace.
func (a *writeAttempt) planOn(ctx context.Context, v snapshot) (plan, error) {
	if a.Turn != nil {
		identified := func(r Request) bool { return !r.Anonymous }
		end, err := a.Turn(ctx, a.key.Namespace, !slices.ContainsFunc(a.requests, identified))
		if err != nil {
			return plan{}, &transientError{err}
		}
		defer end()
	}
	return planFor(ctx, v, a.requests, a.state)
}

// since returns when processing of the last of the requests began.
func (a *writeAttempt) since() time.Time {
	var since time.Time
	for _, r := range a.requests {
		if started := cmp.Or(r.Since, a.started); started.After(since) {
			since = started
		}
	}
	return since
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
