// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// Writer writes requests to targets. It is safe for concurrent use.
type Writer struct {
	endpoints map[Kind]endpoint
	cache     *Cache
	turns     turns
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
	return &Writer{
		endpoints: endpoints,
		cache:     cache,
		// Less than three seconds in all, unless the API server asks for longer pauses.
		retries: wait.Backoff{Duration: 10 * time.Millisecond, Factor: 3, Jitter: 1, Steps: 6},
		pause:   pause,
	}, nil
}

// Write makes a target hold a request, and says what that came to. With dryRun
// the API server is asked whether it would accept the change, and nothing is kept.
//
// One write to a target is under way at a time. What others changed since it was
// read is never overwritten: the patch then fails, and the decision is made again
// on what the API server holds. That, and failures that may pass, are retried a
// few times while the context lives; give it a deadline.
//
// The error satisfies apierrors.IsNotFound only if the API server said that the
// object, or its whole kind, does not exist, and IsTransient if trying again
// later may help.
func (w *Writer) Write(ctx context.Context, key Key, r Request, dryRun bool) (Outcome, error) {
	endpoint, ok := w.endpoints[key.Kind]
	if !ok {
		return Outcome{}, fmt.Errorf("could not write %s: a ref cannot be written to this kind", key)
	}
	done, err := w.turns.take(ctx, key)
	if err != nil {
		return Outcome{}, fmt.Errorf("could not write %s, since others were being written: %w", key, &transientError{err})
	}
	defer done()
	t := try{Writer: w, endpoint: endpoint, key: key, request: r, dryRun: dryRun}
	outcome, err := t.untilDone(ctx)
	if err != nil {
		return Outcome{}, fmt.Errorf("could not write %s: %w", key, explain(err, key.Kind))
	}
	return outcome, nil
}

// try is one call of Write.
type try struct {
	*Writer
	endpoint endpoint
	key      Key
	request  Request
	dryRun   bool

	// refused is the last patch that failed its own tests.
	refused []byte
	// sent is the outcome of a patch that may have been applied although no answer came.
	sent *Outcome
}

// untilDone tries until the target holds the request, or trying again is of no use.
func (t *try) untilDone(ctx context.Context) (Outcome, error) {
	backoff := t.retries
	for live := false; ; live = true {
		outcome, err := t.once(ctx, live)
		if err == nil {
			return outcome, nil
		}
		if errors.Is(err, errNeverPasses) || !isTestFailure(err) && !mayPass(err) {
			return Outcome{}, err
		}
		delay := max(backoff.Step(), retryAfter(err))
		if backoff.Steps < 1 || t.pause(ctx, delay) != nil {
			return Outcome{}, &transientError{err}
		}
	}
}

// once reads, decides and patches.
func (t *try) once(ctx context.Context, live bool) (Outcome, error) {
	decision, err := t.decide(ctx, live)
	if err != nil {
		return Outcome{}, err
	}
	if len(decision.Patch) == 0 {
		if decision.Held && t.sent != nil {
			return *t.sent, nil // it was our own patch that did it
		}
		return decision.Outcome, nil
	}
	patch, err := json.Marshal(decision.Patch)
	if err != nil {
		return Outcome{}, fmt.Errorf("could not encode the patch: %w", err)
	}
	written, err := t.endpoint.patch(ctx, t.key, patch, t.dryRun)
	switch {
	case err == nil:
		if accessor, err := meta.Accessor(written); err == nil {
			decision.UID = accessor.GetUID()
		}
		if !t.dryRun {
			t.cache.wrote(t.key.Kind, written)
		}
		return decision.Outcome, nil
	case isTestFailure(err):
		// The same patch after a live read: nobody changed anything in between, so
		// it will never pass.
		if bytes.Equal(patch, t.refused) {
			return Outcome{}, fmt.Errorf("%w: %w", errNeverPasses, err)
		}
		t.refused = patch
	case mayPass(err):
		t.sent = &decision.Outcome
	}
	return Outcome{}, err
}

// decide decides on what the cache has, or on a live read. A cache lags behind,
// so only a live read may say that there is no such object or nothing to do.
func (t *try) decide(ctx context.Context, live bool) (Decision, error) {
	updaters, err := t.updaters()
	if err != nil {
		return Decision{}, err
	}
	if !live {
		if obj, ok := t.cache.get(t.key); ok {
			if decision, err := decide(obj, t.request, updaters); err != nil || len(decision.Patch) > 0 {
				return decision, err
			}
		}
	}
	obj, document, err := t.endpoint.get(ctx, t.key)
	if err != nil {
		return Decision{}, err
	}
	decision, err := decide(obj, t.request, updaters)
	if err != nil || len(decision.Patch) == 0 {
		return decision, err
	}
	decision.Patch, err = exactly(decision.Patch, document)
	return decision, err
}

// updaters are the ImageUpdater objects that may count for the target.
func (t *try) updaters() ([]*iuv1alpha1.ImageUpdater, error) {
	if t.key.Kind != KindApplication || t.request.Image == nil {
		return nil, nil
	}
	return t.cache.updatersIn(t.key.Namespace)
}

// decide decides for an object of any kind.
func decide(obj runtime.Object, r Request, updaters []*iuv1alpha1.ImageUpdater) (Decision, error) {
	switch obj := obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		return DecideGatewaySync(obj, r), nil
	case *argov1alpha1.Application:
		if r.Image == nil {
			return DecideApplication(obj, r), nil
		}
		config, _ := imageupdate.ConfigFor(obj, updaters)
		return DecideImage(obj, config, r), nil
	}
	return Decision{}, fmt.Errorf("a ref cannot be written to a %T", obj)
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
