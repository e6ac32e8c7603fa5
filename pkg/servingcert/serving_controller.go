// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

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

// ServingController keeps the leaf of this replica trusted, based on the Secret and the APIService.
type ServingController struct {
	// Serving is the certificate of this replica.
	Serving *Serving

	policy    policy
	informers *informers
	trigger   trigger
	now       func() time.Time

	latestCA *authority // the last valid one in the Secret
	lastRead []byte     // the certificate and key of latestCA
	// trustedSince is when trustedCA was first seen in the caBundle.
	trustedSince time.Time
	trustedCA    *authority
	ready        atomic.Bool
}

// Run runs until ctx is done. While the kube-apiserver is not available, it uses the last known state.
func (f *ServingController) Run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { f.informers.run(ctx) })
	runLoop(ctx, f.trigger, f.sync)
	watching.Wait()
}

// Ready returns an error until the caBundle has trusted the leaf for the first time. A replica that starts during a
// rotation, when other replicas are already trusted, must not receive requests before. It stays ready if the caBundle
// changes later: that affects all replicas equally, so excluding this one would not help.
//
// Without an APIService it is ready.
func (f *ServingController) Ready() error {
	if f.ready.Load() {
		return nil
	}
	return errors.New("the kube-apiserver does not trust the serving certificate yet")
}

// sync chooses the issuer, and issues a new leaf if the issuer changes or the leaf needs renewal.
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
	chosen := issuerCandidates{current: issuer, latest: f.latestCA, trusted: bundle,
		latestSince: f.trustedSince}.choose(now)
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

// readSecret updates latestCA from the Secret. An authority that can't be used is ignored; the CAController repairs it.
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
		klog.FromContext(ctx).V(2).Info("The Secret has no valid certificate authority", "secret", klog.KObj(secret),
			"err", err)
		return
	}
	f.latestCA, f.lastRead = latest, seen
	recordExpiration(caCertificate, latest.certificate)
}

// recordTrust updates trustedCA and trustedSince from the caBundle.
func (f *ServingController) recordTrust(bundle []*x509.Certificate, now time.Time) {
	switch {
	case f.latestCA == nil || !contains(bundle, f.latestCA.certificate):
		f.trustedCA = nil
	case !f.latestCA.equal(f.trustedCA):
		f.trustedCA, f.trustedSince = f.latestCA, now
	}
}

// trustPropagationDelay is how long an authority must be in the caBundle before a leaf relies on it: every
// kube-apiserver watches the caBundle independently, and all of them must have received it.
const trustPropagationDelay = 5 * time.Second

// issuerCandidates are the authorities that a replica chooses from.
type issuerCandidates struct {
	// current issued the leaf in use, and latest is the valid authority in the Secret. Both may be nil.
	current, latest *authority
	// trusted is the caBundle. It is nil without an APIService.
	trusted []*x509.Certificate
	// latestSince is when latest was first seen in trusted.
	latestSince time.Time
}

// choose returns the authority to issue the leaf with, or nil if there is none. It keeps a trusted leaf until the next
// one is certain to be trusted.
func (c issuerCandidates) choose(now time.Time) *authority {
	switch {
	case c.latest == nil || c.latest.equal(c.current):
		return c.current
	case c.current == nil, isExpired(c.current.certificate, now), !contains(c.trusted, c.current.certificate):
		return c.latest // the current leaf is not trusted anyway
	case contains(c.trusted, c.latest.certificate) && now.Sub(c.latestSince) >= trustPropagationDelay:
		return c.latest
	}
	return c.current
}

// needsRenewal reports whether issuer should issue a new leaf in place of leaf: when it is old, unless a new one would
// not last longer. A leaf that is not valid yet was issued when this machine's clock was ahead.
func needsRenewal(leaf *leaf, issuer *authority, now time.Time) bool {
	if now.Before(leaf.certificate.NotBefore) {
		return true
	}
	return !now.Before(renewAt(leaf.certificate)) && leaf.certificate.NotAfter.Before(issuer.certificate.NotAfter)
}
