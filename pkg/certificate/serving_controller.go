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

// ServingController keeps the leaf of this replica one that the kube-apiserver trusts, as the Secret and the APIService tell.
type ServingController struct {
	// Serving is what this replica serves with.
	Serving *Serving

	policy    policy
	informers *informers
	trigger   trigger
	now       func() time.Time

	latestCA *authority // the last one in the Secret that could sign
	lastRead []byte     // the certificate of the Secret that was read last
	// trustedSince is when the caBundle was first seen to have the authority trusted.
	trustedSince time.Time
	trustedCA    *authority
	ready        atomic.Bool
}

// Run follows until ctx is done. While the kube-apiserver is away, what is known already counts.
func (f *ServingController) Run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { f.informers.run(ctx) })
	runLoop(ctx, f.trigger, f.sync)
	watching.Wait()
}

// Ready returns an error until the leaf was seen to be trusted by the caBundle for the first time. A replica that starts in
// the middle of a rotation, when others are trusted already, must not be given requests before. Later it stays ready,
// whatever becomes of the caBundle: that concerns all replicas alike, so nobody gains if this one is given nothing.
//
// Where there is no APIService nobody is to be refused anything either.
func (f *ServingController) Ready() error {
	if f.ready.Load() {
		return nil
	}
	return errors.New("the kube-apiserver does not trust the serving certificate yet")
}

// sync chooses who is to issue the leaf, and has it issued if it is another or the leaf grows old.
func (f *ServingController) sync(ctx context.Context) {
	now := f.now()
	f.readSecret(ctx, now)
	apiService, known := f.informers.currentAPIService()
	var bundle []*x509.Certificate
	if apiService != nil {
		bundle = parse(apiService.Spec.CABundle)
	}
	f.recordTrust(bundle, now)

	currentLeaf, issuer := f.Serving.current()
	chosen := issuerCandidates{current: issuer, latest: f.latestCA, trusted: bundle, latestSince: f.trustedSince}.choose(now)
	if chosen == nil {
		return
	}
	if !chosen.equal(issuer) || needsRenewal(currentLeaf, chosen, now) {
		next, err := chosen.issue(f.policy.service, f.policy.leafValidity, now)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Could not renew the serving certificate")
			return
		}
		f.Serving.use(next, chosen, now)
		recordExpiration(servingCertificate, next.certificate)
		klog.FromContext(ctx).Info("Serving with a new certificate",
			"notAfter", next.certificate.NotAfter, "newAuthority", !chosen.equal(issuer))
	}
	if known && (apiService == nil || contains(bundle, chosen.certificate)) {
		f.ready.Store(true)
	}
}

// readSecret takes the authority from the Secret. One that can't sign is passed over: it is for the Keeper to repair.
func (f *ServingController) readSecret(ctx context.Context, now time.Time) {
	secret, _ := f.informers.currentSecret()
	if secret == nil {
		return
	}
	seen := bytes.Join([][]byte{secret.Data[keyCertificate], secret.Data[keyPrivateKey]}, nil)
	if bytes.Equal(seen, f.lastRead) && f.latestCA != nil {
		return
	}
	latest, err := f.policy.authorityIn(secret.Data, now)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("The Secret holds no certificate authority that can sign", "secret", klog.KObj(secret), "err", err)
		return
	}
	f.latestCA, f.lastRead = latest, seen
	recordExpiration(caCertificate, latest.certificate)
}

// recordTrust remembers since when the latest authority is trusted.
func (f *ServingController) recordTrust(bundle []*x509.Certificate, now time.Time) {
	switch {
	case f.latestCA == nil || !contains(bundle, f.latestCA.certificate):
		f.trustedCA = nil
	case !f.latestCA.equal(f.trustedCA):
		f.trustedCA, f.trustedSince = f.latestCA, now
	}
}
