// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/keyutil"
)

// Keys of the Secret. The first two are those of every Secret of type kubernetes.io/tls.
const (
	keyCertificate = corev1.TLSCertKey              // of the authority that signs
	keyPrivateKey  = corev1.TLSPrivateKeyKey        // of the same
	keyBundle      = corev1.ServiceAccountRootCAKey // ca.crt: every authority that counts, the one that signs first
)

// policy are what the next step depends on besides the state of things.
type policy struct {
	service                  Service
	caValidity, leafValidity time.Duration
}

// state is what is there.
type state struct {
	// secret is the data of the Secret, nil if there is no Secret.
	secret map[string][]byte
	// registered tells whether there is an APIService, and caBundle what it has.
	registered bool
	caBundle   []byte
	// inUse are authorities whose leaves are served just now.
	inUse []*x509.Certificate
}

// action is what is to be done next.
type action string

const (
	actionNone         action = "wait"
	actionCreate       action = "create"  // the Secret, which is missing
	actionRepair       action = "repair"  // the Secret, whose authority can't sign
	actionRenew        action = "renew"   // the authority, most of whose life is over
	actionUpdateBundle action = "tidy"    // the Secret's bundle: expired authorities are in it, or one that counts is not
	actionPublish      action = "publish" // the Secret's bundle as the caBundle of the APIService
)

// step is one thing to do. The next is for when that has been seen to be done.
type step struct {
	action action
	// cause tells what is wrong with what is to be repaired. It shows no key.
	cause error
	// secret is the data that the Secret is to have, if action is about that.
	secret map[string][]byte
	// caBundle is for publish.
	caBundle []byte
}

// next decides what to do. The Secret comes first: no authority is trusted that might be forgotten.
func (r policy) next(s state, now time.Time) (step, error) {
	if s.secret == nil {
		return r.rotate(actionCreate, nil, s, now)
	}
	signing, err := r.authorityIn(s.secret, now)
	if err != nil {
		done, replaceErr := r.rotate(actionRepair, parse(s.secret[keyBundle]), s, now)
		done.cause = err
		return done, replaceErr
	}
	known := parse(s.secret[keyBundle])
	if !now.Before(renewAt(signing.certificate)) {
		return r.rotate(actionRenew, union([]*x509.Certificate{signing.certificate}, known), s, now)
	}
	bundle := encode(r.bundle(signing.certificate, known, s.inUse, now)...)
	switch {
	case !bytes.Equal(bundle, s.secret[keyBundle]):
		data := maps.Clone(s.secret)
		data[keyBundle] = bundle
		return step{action: actionUpdateBundle, secret: data}, nil
	case s.registered && !bytes.Equal(bundle, s.caBundle):
		return step{action: actionPublish, caBundle: bundle}, nil
	}
	return step{action: actionNone}, nil
}

// authorityIn returns the authority of a Secret if it can sign.
func (r policy) authorityIn(secret map[string][]byte, now time.Time) (*authority, error) {
	signing, err := parseAuthority(secret[keyCertificate], secret[keyPrivateKey])
	if err != nil {
		return nil, fmt.Errorf("could not read the certificate authority: %w", err)
	}
	if err := signing.check(r.service, now); err != nil {
		return nil, fmt.Errorf("could not use the certificate authority: %w", err)
	}
	return signing, nil
}

// rotate makes a new authority. Those that there were before stay in the bundle as long as their leaves may live.
func (r policy) rotate(act action, known []*x509.Certificate, s state, now time.Time) (step, error) {
	signing, err := newAuthority(r.service, r.caValidity, now)
	if err != nil {
		return step{}, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(signing.key)
	if err != nil {
		return step{}, fmt.Errorf("could not encode the key of a certificate authority: %w", err)
	}
	data := maps.Clone(s.secret) // which may hold what others have put there
	if data == nil {
		data = map[string][]byte{}
	}
	data[keyCertificate], data[keyPrivateKey] = encode(signing.certificate), keyPEM
	data[keyBundle] = encode(r.bundle(signing.certificate, known, s.inUse, now)...)
	return step{action: act, secret: data}, nil
}

// bundle returns the authorities that count: the one that signs; those before it until the last leaf that they may have
// signed has expired; and those in use, which the one that signs need not have followed in good order.
func (r policy) bundle(signing *x509.Certificate, known, inUse []*x509.Certificate, now time.Time) []*x509.Certificate {
	lastLeaf := signing.NotBefore.Add(backdate(signing.NotAfter.Sub(signing.NotBefore)) + r.leafValidity)
	if now.After(lastLeaf) {
		known = nil
	}
	all := union([]*x509.Certificate{signing}, known, inUse)
	return slices.DeleteFunc(all, func(ca *x509.Certificate) bool { return isExpired(ca, now) || !ca.IsCA })
}
