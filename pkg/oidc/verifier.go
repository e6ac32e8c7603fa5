// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package oidc verifies the OIDC tokens of senders, such as jobs of CI systems, against the issuers that a namespace
// trusts. The format of the configuration, and the verification, are those of the kube-apiserver's structured
// authentication, whose library it uses.
//
// The library would fetch keys itself, without limits on where, and would verify tokens only once it has done so. Here
// the keys are fetched in the background, only from hosts that the administrator lists, and are shared by namespaces.
// A token never causes more than the fetch of the keys of an issuer that is configured, which is limited, and no
// delivery waits for one. What a namespace configures is bounded: its size, its expressions, and what they may cost.
//
// The package does not depend on deliveries.
package oidc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/component-base/metrics"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
)

const (
	// maxRemotes bounds the issuers whose keys are fetched.
	maxRemotes = 512
	// maxCompiled bounds the issuers whose expressions stay compiled. Others are compiled for each token.
	maxCompiled = 512
	// sharePercent is what one namespace may have of both.
	sharePercent = 25
)

// Verifier verifies the tokens of all namespaces. It is safe for concurrent use.
type Verifier struct {
	lifetime context.Context //nolint:containedctx // of the goroutines that fetch keys, which begin with a Secret
	fetch    func(context.Context, source) (keySet, error)
	now      func() time.Time
	compiler compiler
	places   *fairness.Counter // of remotes
	kept     *fairness.Counter // of compiled issuers
	slots    *fairness.Slots
	notices  *fairness.Notices

	mu      sync.Mutex
	remotes map[source]*remote
}

// New returns a Verifier that fetches keys until ctx ends.
func New(ctx context.Context, dial Dial) (*Verifier, error) {
	metrics.SetDisabledMetrics(libraryMetrics)
	compiler, err := newCompiler()
	if err != nil {
		return nil, err
	}
	return &Verifier{
		lifetime: ctx, fetch: dial.fetch, now: time.Now, compiler: compiler,
		places:  fairness.NewCounter(fairness.Share{Total: maxRemotes, Percent: sharePercent}),
		kept:    fairness.NewCounter(fairness.Share{Total: maxCompiled, Percent: sharePercent}),
		slots:   fairness.NewSlots(fairness.Share{Total: concurrentFetches, Percent: 50}),
		notices: fairness.NewNotices(),
		remotes: map[source]*remote{},
	}, nil
}

// Parse returns the issuers that a value in a namespace trusts, and begins to fetch their keys. It compiles nothing:
// that is done with the first token, in the share of its namespace.
func (v *Verifier) Parse(namespace string, value []byte) (credential.Issuers, error) {
	if len(bytes.TrimSpace(value)) == 0 {
		return &issuers{}, nil
	}
	c, err := decodeConfiguration(value)
	if err != nil {
		return nil, errors.New(oneLine(err))
	}
	flow := fairness.Flow{Namespace: namespace}
	all := &issuers{verifier: v, flow: flow}
	for n := range c.JWT {
		i := &issuer{entry: c.JWT[n], verifier: v, flow: flow}
		if i.JWKS != nil {
			if i.static, err = parseKeySet(i.JWKS); err != nil {
				all.Close()
				return nil, fmt.Errorf("jwt[%d].jwks: %w", n, err)
			}
		} else {
			i.remote = v.acquire(flow, source{
				issuer: i.Issuer.URL, discoveryURL: text(i.Issuer.DiscoveryURL),
				authority: i.Issuer.CertificateAuthority,
			})
		}
		all.list = append(all.list, i)
	}
	return all, nil
}

// acquire returns the keys of a source, nil if the namespace has no place for another one. Call release when done.
func (v *Verifier) acquire(flow fairness.Flow, s source) *remote {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.remotes[s]
	if r == nil {
		free, err := v.places.TryAcquire(flow, 1)
		if err != nil {
			v.notices.Refused(flow, "OIDC issuers", "err", err)
			return nil
		}
		ctx, cancel := context.WithCancel(v.lifetime)
		r = &remote{
			source: s, flow: flow, fetch: v.fetch, slots: v.slots, now: v.now, cancel: cancel, free: free,
			wanted: make(chan struct{}, 1),
		}
		v.remotes[s] = r
		go r.run(ctx)
	}
	r.users++
	return r
}

// release ends the fetches for a source that stays unused for a while. Otherwise a namespace could make Postern fetch
// as often as it changes its Secret.
func (v *Verifier) release(r *remote) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.users--; r.users == 0 {
		time.AfterFunc(minFetchInterval, func() { v.endUnused(r) })
	}
}

func (v *Verifier) endUnused(r *remote) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.users > 0 || v.remotes[r.source] != r {
		return
	}
	r.cancel()
	r.free()
	delete(v.remotes, r.source)
}
