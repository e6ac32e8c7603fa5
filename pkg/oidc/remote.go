// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/fairness"
)

const (
	// refreshInterval is how often keys are fetched. Issuers announce new ones long before they use them.
	refreshInterval = 10 * time.Minute
	// minFetchInterval is the time between fetches because of keys that are not known.
	minFetchInterval = 10 * time.Second
	// firstRetry doubles with each failure, up to maxRetry.
	firstRetry, maxRetry = time.Second, time.Minute
	// maxAge is how long keys stay valid if no newer ones can be fetched.
	maxAge = 24 * time.Hour
	// unknownRetry is when senders try again while keys are being fetched.
	unknownRetry = 2 * time.Second
	// concurrentFetches bounds the fetches at a time; a namespace may have half of them.
	concurrentFetches = 16
)

// remote keeps the keys of one issuer current in the background. Namespaces with the same source share it.
type remote struct {
	source source
	flow   fairness.Flow // of the namespace that began it
	fetch  func(context.Context, source) (keySet, error)
	slots  *fairness.Slots
	now    func() time.Time
	cancel context.CancelFunc
	wanted chan struct{} // has a value if a token named a key that is not known

	users int    // guarded by Verifier.mu
	free  func() // releases its place

	mu       sync.Mutex
	keys     keySet
	fetched  time.Time // when the fetch of keys began; zero without keys
	began    time.Time // when the last fetch began
	fetching bool
}

// run fetches until ctx ends.
func (r *remote) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		err := r.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		recordFetch(err)
		wait := jitter(refreshInterval)
		switch {
		case err != nil:
			wait = min(firstRetry<<min(failures, 10), maxRetry)
			if failures == 0 {
				klog.InfoS("Could not fetch the keys of an OIDC issuer, trying again", "issuer", r.source.issuer,
					"namespace", r.flow.Namespace, "err", err)
			}
			failures++
		case failures > 0:
			klog.InfoS("Fetched the keys of an OIDC issuer again", "issuer", r.source.issuer)
			failures = 0
		}
		r.wait(ctx, wait)
	}
}

// jitter spreads the fetches of replicas and issuers.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d/10))) //nolint:gosec // no secret
}

// wait waits for d, or less if a key is wanted.
func (r *remote) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
		return
	case <-r.wanted:
	}
	r.mu.Lock()
	soonest := r.began.Add(minFetchInterval).Sub(r.now())
	r.mu.Unlock()
	again := time.NewTimer(min(max(soonest, 0), d))
	defer again.Stop()
	select {
	case <-ctx.Done():
	case <-again.C:
	}
}

// refresh fetches once, in the turn of the namespace.
func (r *remote) refresh(ctx context.Context) error {
	release, err := r.slots.Acquire(ctx, r.flow, 1)
	if err != nil {
		return err
	}
	defer release()
	r.mu.Lock()
	began := r.now()
	r.began, r.fetching = began, true
	r.mu.Unlock()
	keys, err := r.fetch(ctx, r.source)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetching = false
	if err == nil {
		r.keys, r.fetched = keys, began
	}
	return err
}

// errKeysUnknown means that a token can't be verified yet.
var errKeysUnknown = errors.New("the keys of the issuer are not known yet")

// current returns the keys.
func (r *remote) current() (keySet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fetched.IsZero() || r.now().Sub(r.fetched) > maxAge {
		return nil, errKeysUnknown
	}
	return r.keys, nil
}

// want asks for a fetch because a token that was issued at a time has a key that is not known. It returns when the
// sender should try again, or 0 if that is useless: keys that were fetched later do not have it.
func (r *remote) want(issuedAt time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := r.now().Sub(r.began)
	if !r.fetching && !r.fetched.Before(issuedAt) && since < minFetchInterval {
		return 0
	}
	select {
	case r.wanted <- struct{}{}:
	default:
	}
	if r.fetching {
		return unknownRetry
	}
	return max(minFetchInterval-since, 0) + unknownRetry
}
