// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// Follower keeps the leaf of this replica one that the kube-apiserver trusts, as the Secret and the APIService tell.
type Follower struct {
	// Serving is what this replica serves with.
	Serving *Serving

	rules   rules
	watch   *watch
	changed bell
	now     func() time.Time

	latest *authority // the last one in the Secret that could sign
	read   []byte     // the certificate of the Secret that was read last
	// since is when the caBundle was first seen to have the authority trusted.
	since   time.Time
	trusted *authority
	begun   atomic.Bool
}

// Run follows until ctx is done. While the kube-apiserver is away, what is known already counts.
func (f *Follower) Run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { f.watch.run(ctx) })
	whenever(ctx, f.changed, f.look)
	watching.Wait()
}

// Ready returns an error until the leaf was seen to be trusted by the caBundle for the first time. A replica that starts in
// the middle of a rotation, when others are trusted already, must not be given requests before. Later it stays ready,
// whatever becomes of the caBundle: that concerns all replicas alike, so nobody gains if this one is given nothing.
//
// Where there is no APIService nobody is to be refused anything either.
func (f *Follower) Ready() error {
	if f.begun.Load() {
		return nil
	}
	return errors.New("the kube-apiserver does not trust the serving certificate yet")
}

// look chooses who is to issue the leaf, and has it issued if it is another or the leaf grows old.
func (f *Follower) look(ctx context.Context) {
	now := f.now()
	f.readSecret(ctx, now)
	apiService, known := f.watch.currentAPIService()
	var bundle []*x509.Certificate
	if apiService != nil {
		bundle = parse(apiService.Spec.CABundle)
	}
	f.noteTrust(bundle, now)

	present, issuer := f.Serving.current()
	chosen := candidates{present: issuer, latest: f.latest, trusted: bundle, latestSince: f.since}.choose(now)
	if chosen == nil {
		return
	}
	if !chosen.is(issuer) || isDue(present, chosen, now) {
		next, err := chosen.issue(f.rules.service, f.rules.leafValidity, now)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Could not renew the serving certificate")
			return
		}
		f.Serving.use(next, chosen, now)
		observe(servingCertificate, next.certificate)
		klog.FromContext(ctx).Info("Serving with a new certificate",
			"notAfter", next.certificate.NotAfter, "newAuthority", !chosen.is(issuer))
	}
	if known && (apiService == nil || contains(bundle, chosen.certificate)) {
		f.begun.Store(true)
	}
}

// readSecret takes the authority from the Secret. One that can't sign is passed over: it is for the Keeper to repair.
func (f *Follower) readSecret(ctx context.Context, now time.Time) {
	secret, _ := f.watch.currentSecret()
	if secret == nil {
		return
	}
	seen := bytes.Join([][]byte{secret.Data[keyCertificate], secret.Data[keyPrivateKey]}, nil)
	if bytes.Equal(seen, f.read) && f.latest != nil {
		return
	}
	latest, err := f.rules.authorityIn(secret.Data, now)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("The Secret holds no certificate authority that can sign", "secret", klog.KObj(secret), "err", err)
		return
	}
	f.latest, f.read = latest, seen
	observe(caCertificate, latest.certificate)
}

// noteTrust remembers since when the latest authority is trusted.
func (f *Follower) noteTrust(bundle []*x509.Certificate, now time.Time) {
	switch {
	case f.latest == nil || !contains(bundle, f.latest.certificate):
		f.trusted = nil
	case !f.latest.is(f.trusted):
		f.trusted, f.since = f.latest, now
	}
}
