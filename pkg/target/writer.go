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

	"postern.dev/postern/pkg/imageupdate"
)

// Writer writes requests to targets. It is safe for concurrent use, once its exported fields
// are set.
type Writer struct {
	// Turn waits until a namespace may have a processor, and returns what is to be called at
	// the end of its turn. One is taken to plan a write, whose cost depends on what the owner
	// of the target wrote and on how much is asked of it; none to read the target or to patch
	// it. Who gets no turn may try again: the error makes the write fail as IsTransient says.
	// Nobody who is in a turn may wait for a Write. If it is nil planning waits for nobody.
	// The turn is that of unauthenticated senders if only such asked for what is planned.
	Turn func(ctx context.Context, namespace string, anonymous bool) (end func(), err error)

	// Shared says that other processes write targets, too. What finds its ref requested already
	// is then noted on the target, which takes a patch, since they would hear of it only by its
	// record. Without it the Writer just remembers it.
	Shared bool

	endpoints  map[Kind]endpoint
	cache      *Cache
	clock      *Clock
	watermarks *watermarkCache
	updaters   *updaterLister
	batcher    *batcher
	// retries has as many steps as a write is tried.
	retries wait.Backoff
	// sleep waits between two tries, or returns an error at once if it is not
	// worth waiting.
	sleep func(context.Context, time.Duration) error
}

// NewWriter returns a Writer that uses the API server of a configuration, and
// reads from a cache where that has what is needed. The cache may be nil if no
// images are requested of Applications.
func NewWriter(cfg *rest.Config, cache *Cache) (*Writer, error) {
	endpoints, err := newEndpoints(cfg, Kinds())
	if err != nil {
		return nil, err
	}
	updaterEndpoints, err := newEndpoints(cfg, []Kind{kindImageUpdater})
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
		// Less than three seconds in all, unless the API server asks for longer pauses.
		retries: wait.Backoff{Duration: 10 * time.Millisecond, Factor: 3, Jitter: 1, Steps: 6},
		sleep:   sleep,
	}
	if cache != nil {
		w.clock = cache.clock
	}
	w.batcher = newBatcher(w.writeBatch)
	return w, nil
}

// Stamp returns the time of a receipt by the Clock of the Writer, which observes the
// receipts that targets tell of.
func (w *Writer) Stamp() time.Time { return w.clock.Stamp() }

// RecordHeld takes note that a target held requests, as another process found, or this one
// before it was started anew: what was received before them is not written any more.
func (w *Writer) RecordHeld(key Key, requests ...Request) {
	for _, r := range requests {
		w.clock.Observe(r.Received)
		slot := r.slot(key.Kind)
		if r.Image != nil {
			slot = imageNameSlot(r.Image.Name)
		}
		w.watermarks.record(key, r, slot)
	}
}

// withOrdering returns requests of a target that know what the Writer does.
func (w *Writer) withOrdering(key Key, requests []Request) []Request {
	requests = slices.Clone(requests)
	state := OrderingState{maxReceived: w.clock.maxReceived(), watermarks: w.watermarks.get(key), shared: w.Shared}
	for i := range requests {
		requests[i].Ordering = state
	}
	return requests
}

// Result is what a request came to: an outcome, or an error. The error satisfies
// apierrors.IsNotFound if there is no such object, and IsTransient if another try may help.
type Result struct {
	Outcome Outcome
	Err     error
}

// Write makes a target hold what is requested, as far as it wants it, and returns a
// result of each request. The requests are carried out in their order of receipt and
// cost, together with others for the same target that come meanwhile, one read and one
// write, unless something else changes the target in between. Beyond the deadline of
// ctx nothing is waited for. In a dry run it only finds out what it would do.
func (w *Writer) Write(ctx context.Context, key Key, requests []Request, dryRun bool) []Result {
	if _, ok := w.endpoints[key.Kind]; !ok {
		err := fmt.Errorf("could not write %s: a ref cannot be written to this kind", key)
		return slices.Repeat([]Result{{Err: err}}, len(requests))
	}
	if !dryRun {
		return w.batcher.do(ctx, key, requests)
	}
	return w.writeDryRun(ctx, key, requests)
}

func (w *Writer) writeDryRun(ctx context.Context, key Key, requests []Request) (results []Result) {
	defer func() {
		if problem := recover(); problem != nil {
			results = slices.Repeat([]Result{{Err: panicError(ctx, key, problem)}}, len(requests))
		}
	}()
	return w.writeAll(ctx, key, requests, true)
}

// Resolve finds out whether a target exists. Its errors are those of Write.
func (w *Writer) Resolve(ctx context.Context, key Key) error {
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

// APIVersion returns the group and version by which Postern reads and writes a
// kind; empty if it is not one of Kinds.
func (k Kind) APIVersion() string {
	resource, _, err := k.api()
	if err != nil || !slices.Contains(Kinds(), k) {
		return ""
	}
	return resource.GroupVersion().String()
}
