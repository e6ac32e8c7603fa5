// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// Writer writes requests to targets. It is safe for concurrent use once its exported fields are set.
type Writer struct {
	// Turn waits until a namespace may use a processor, and returns a function that ends the turn. The Writer takes a
	// turn to plan a write, whose cost depends on the target's content and on the number of requests, but not to read
	// or patch the target. anonymous is true if all requests are of unauthenticated senders. If Turn fails, the error of
	// the write satisfies IsTransient. A caller must not wait for a Write during a turn. If Turn is nil planning does not
	// wait.
	Turn func(ctx context.Context, namespace string, anonymous bool) (end func(), err error)

	// Shared says that other processes write targets, too. A request for a ref that is already requested is then
	// recorded on the target with a patch, since they would otherwise learn of it only from its record. Without Shared
	// the Writer just remembers it.
	Shared bool

	endpoints  map[postern.TargetKind]endpoint
	cache      *Cache
	clock      *Clock
	watermarks *watermarkCache
	updaters   *updaterLister
	batcher    *batcher
	// retries has one step for each try.
	retries wait.Backoff
	// sleep waits between two tries, or returns an error at once if waiting is pointless.
	sleep func(context.Context, time.Duration) error
}

// NewWriter returns a Writer that uses the API server in cfg, and reads from cache where that suffices. cache may be
// nil if no images are requested of Applications.
func NewWriter(cfg *rest.Config, cache *Cache) (*Writer, error) {
	endpoints, err := newEndpoints(cfg, Kinds())
	if err != nil {
		return nil, err
	}
	updaterEndpoints, err := newEndpoints(cfg, []postern.TargetKind{kindImageUpdater})
	if err != nil {
		return nil, err
	}
	w := &Writer{
		endpoints:  endpoints,
		cache:      cache,
		clock:      NewClock(time.Now),
		watermarks: newWatermarkCache(maxCachedTargets),
		updaters: newUpdaterLister(func(ctx context.Context, namespace string) ([]*imageupdate.Updater, error) {
			return updaterEndpoints[kindImageUpdater].listUpdaters(ctx, namespace, cache.updatersIn(namespace))
		}),
		// Less than three seconds in total, unless the API server asks for longer delays.
		retries: wait.Backoff{Duration: 10 * time.Millisecond, Factor: 3, Jitter: 1, Steps: 6},
		sleep:   sleep,
	}
	if cache != nil {
		w.clock = cache.clock
	}
	w.batcher = newBatcher(w.writeBatch)
	return w, nil
}

// Stamp returns the time of a receipt, by a Clock that observes the receipts recorded on targets.
func (w *Writer) Stamp() time.Time { return w.clock.Stamp() }

// RecordHeld records that a target held requests, as found by another process, or by this one before a restart.
// Requests received before them are no longer written.
func (w *Writer) RecordHeld(key postern.TargetKey, requests ...Request) {
	for _, r := range requests {
		w.clock.Observe(r.Received)
		slot := r.slot(key.Kind)
		if r.Image != nil {
			slot = imageNameSlot(r.Image.Name())
		}
		w.watermarks.record(key, r, slot)
	}
}

// withOrdering returns copies of requests for a target, with Ordering set.
func (w *Writer) withOrdering(key postern.TargetKey, requests []Request) []Request {
	requests = slices.Clone(requests)
	state := OrderingState{maxReceived: w.clock.maxReceived(), watermarks: w.watermarks.get(key), shared: w.Shared}
	for i := range requests {
		requests[i].Ordering = state
	}
	return requests
}

// Result is the outcome of a request, or its error. The error satisfies apierrors.IsNotFound if the target does not
// exist, and IsTransient if a retry may succeed.
type Result struct {
	Outcome Outcome
	Err     error
}

// Write writes requests to a target, as far as the target wants them, and returns one result for each. The requests are
// written in their order of receipt. Together with concurrent requests for the same target they cost one read and one
// write, unless the target changes in between. Write does not wait beyond the deadline of ctx. A dry run only
// determines the results.
func (w *Writer) Write(ctx context.Context, key postern.TargetKey, requests []Request, dryRun bool) []Result {
	if _, ok := w.endpoints[key.Kind]; !ok {
		err := fmt.Errorf("could not write %s: a ref cannot be written to this kind", key)
		return slices.Repeat([]Result{{Err: err}}, len(requests))
	}
	if !dryRun {
		return w.batcher.do(ctx, key, requests)
	}
	return w.writeDryRun(ctx, key, requests)
}

func (w *Writer) writeDryRun(ctx context.Context, key postern.TargetKey, requests []Request) (results []Result) {
	defer func() {
		if problem := recover(); problem != nil {
			results = slices.Repeat([]Result{{Err: panicError(ctx, key, problem)}}, len(requests))
		}
	}()
	return w.writeAll(ctx, key, requests, true)
}

// Resolve checks that a target exists. It returns the same errors as Write.
func (w *Writer) Resolve(ctx context.Context, key postern.TargetKey) error {
	endpoint, ok := w.endpoints[key.Kind]
	if !ok {
		return fmt.Errorf("could not find %s: a ref cannot be written to this kind", key)
	}
	if _, ok := w.cache.get(key); ok {
		return nil
	}
	switch _, _, err := endpoint.get(ctx, key); {
	case err == nil:
		return nil
	case isRetryable(err):
		return fmt.Errorf("could not find %s: %w", key, &transientError{err})
	default:
		return fmt.Errorf("could not find %s: %w", key, wrapMissingKind(err, key.Kind))
	}
}

// APIVersion returns the group and version with which Postern reads and writes a kind; empty if it is not one of Kinds.
func APIVersion(kind postern.TargetKind) string {
	resource, _, err := apiOf(kind)
	if err != nil || !slices.Contains(Kinds(), kind) {
		return ""
	}
	return resource.GroupVersion().String()
}
