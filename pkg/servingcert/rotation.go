// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

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

// Keys of the Secret. The first two are the keys of every Secret of type kubernetes.io/tls.
const (
	keyCertificate = corev1.TLSCertKey              // of the signing authority
	keyPrivateKey  = corev1.TLSPrivateKeyKey        // of the signing authority
	keyBundle      = corev1.ServiceAccountRootCAKey // ca.crt: all trusted authorities, the signing one first
)

// policy is the configuration that determines the next step.
type policy struct {
	service                  Service
	caValidity, leafValidity time.Duration
}

// state is the observed state.
type state struct {
	// secret is the data of the Secret, nil if there is no Secret.
	secret map[string][]byte
	// registered is true if there is an APIService, and caBundle is its caBundle.
	registered bool
	caBundle   []byte
	// inUse are the authorities whose leaves are in use.
	inUse []*x509.Certificate
}

// action is the type of a step.
type action string

const (
	actionNone         action = "none"
	actionCreate       action = "create"        // the missing Secret
	actionRepair       action = "repair"        // the Secret, whose authority can't be used
	actionRenew        action = "renew"         // the authority after two thirds of its lifetime
	actionUpdateBundle action = "update-bundle" // the Secret's bundle: an authority is expired or missing
	actionPublish      action = "publish"       // the Secret's bundle, as the caBundle of the APIService
)

// step is one write. The next step is determined after the informers have observed it.
type step struct {
	action action
	// cause is why the authority is repaired. It never includes a key.
	cause error
	// secret is the new data of the Secret, for all actions except publish.
	secret map[string][]byte
	// caBundle is the new caBundle, for publish.
	caBundle []byte
}

// next returns the next step. It updates the Secret before the caBundle, so that every trusted authority is stored.
func (r policy) next(s state, now time.Time) (step, error) {
	if s.secret == nil {
		return r.rotate(actionCreate, nil, s, now)
	}
	ca, err := r.authorityIn(s.secret, now)
	if err != nil {
		done, replaceErr := r.rotate(actionRepair, parse(s.secret[keyBundle]), s, now)
		done.cause = err
		return done, replaceErr
	}
	known := parse(s.secret[keyBundle])
	if !now.Before(renewAt(ca.certificate)) {
		return r.rotate(actionRenew, union([]*x509.Certificate{ca.certificate}, known), s, now)
	}
	bundle := encode(r.bundle(ca.certificate, known, s.inUse, now)...)
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

// authorityIn returns the authority of a Secret, or an error if it can't be used.
func (r policy) authorityIn(secret map[string][]byte, now time.Time) (*authority, error) {
	ca, err := parseAuthority(secret[keyCertificate], secret[keyPrivateKey])
	if err != nil {
		return nil, fmt.Errorf("could not read the certificate authority: %w", err)
	}
	if err := ca.check(r.service, now); err != nil {
		return nil, fmt.Errorf("could not use the certificate authority: %w", err)
	}
	return ca, nil
}

// rotate returns a step with a new authority. Previous authorities stay in the bundle while their leaves may be in use.
func (r policy) rotate(act action, known []*x509.Certificate, s state, now time.Time) (step, error) {
	ca, err := newAuthority(r.service, r.caValidity, now)
	if err != nil {
		return step{}, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(ca.key)
	if err != nil {
		return step{}, fmt.Errorf("could not encode the key of a certificate authority: %w", err)
	}
	data := maps.Clone(s.secret) // keeps the keys of other writers
	if data == nil {
		data = map[string][]byte{}
	}
	data[keyCertificate], data[keyPrivateKey] = encode(ca.certificate), keyPEM
	data[keyBundle] = encode(r.bundle(ca.certificate, known, s.inUse, now)...)
	return step{action: act, secret: data}, nil
}

// bundle returns the trusted authorities: the signing one; previous ones until the last leaf that they may have issued
// has expired; and those in use, which may not be in the Secret if it was replaced.
func (r policy) bundle(signing *x509.Certificate, known, inUse []*x509.Certificate, now time.Time) []*x509.Certificate {
	lastLeaf := signing.NotBefore.Add(backdate(signing.NotAfter.Sub(signing.NotBefore)) + r.leafValidity)
	if now.After(lastLeaf) {
		known = nil
	}
	all := union([]*x509.Certificate{signing}, known, inUse)
	return slices.DeleteFunc(all, func(ca *x509.Certificate) bool { return isExpired(ca, now) || !ca.IsCA })
}
