// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// Writer writes requests to targets. It is safe for concurrent use.
type Writer struct {
	endpoints map[Kind]endpoint
	cache     *Cache
	lanes     *lanes
	// retries has as many steps as a write is tried.
	retries wait.Backoff
	// pause waits between two tries, or returns an error at once if it is not
	// worth waiting.
	pause func(context.Context, time.Duration) error
}

// NewWriter returns a Writer that uses the API server of a configuration, and
// reads from a cache where that has what is needed. The cache may be nil if no
// images are requested of Applications.
func NewWriter(cfg *rest.Config, cache *Cache) (*Writer, error) {
	endpoints, err := newEndpoints(cfg, Kinds())
	if err != nil {
		return nil, err
	}
	w := &Writer{
		endpoints: endpoints,
		cache:     cache,
		// Less than three seconds in all, unless the API server asks for longer pauses.
		retries: wait.Backoff{Duration: 10 * time.Millisecond, Factor: 3, Jitter: 1, Steps: 6},
		pause:   pause,
	}
	w.lanes = newLanes(w.writeTogether)
	return w, nil
}

// Write makes a target hold a request, and says what that came to. With dryRun
// the API server is asked whether it would accept the change, and nothing is kept.
//
// One write to a target is under way at a time; requests that come meanwhile go
// together in the next, and of several git refs that were asked for by the name of the
// target only the newest is written. What others changed since it was read is never
// overwritten: the patch then fails, and the decision is made again on what the API
// server holds. That, and failures that may pass, are retried a few times while the
// context lives; give it a deadline.
//
// The error satisfies apierrors.IsNotFound only if the API server said that the
// object, or its whole kind, does not exist, and IsTransient if trying again
// later may help. After a transient error the request may be written all the same.
func (w *Writer) Write(ctx context.Context, key Key, r Request, dryRun bool) (Outcome, error) {
	if _, ok := w.endpoints[key.Kind]; !ok {
		return Outcome{}, fmt.Errorf("could not write %s: a ref cannot be written to this kind", key)
	}
	if !dryRun {
		return w.lanes.do(ctx, key, r)
	}
	return w.tryOut(ctx, key, r)
}

// tryOut asks the API server whether it would accept a request. It need not wait for
// the writes to the target.
func (w *Writer) tryOut(ctx context.Context, key Key, r Request) (outcome Outcome, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = panicked(ctx, key, problem)
		}
	}()
	outcomes, err := w.attempt(ctx, key, []Request{r}, true)
	if err != nil {
		return Outcome{}, err
	}
	return outcomes[0], nil
}
