// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"context"
	"errors"
)

// Acceptance is a namespace that accepts an attempt, and what authenticated it.
type Acceptance struct {
	Namespace string
	Proof
}

// VerifyInNamespaces verifies one attempt without a target in each of namespaces, with the secrets of that namespace.
// It returns the namespaces that accept it, in the given order. A Kubernetes identity is not accepted, because RBAC did
// not authorize it for these namespaces. If no namespace accepts the attempt (or, without namespaces, the default
// secrets do not), the error is a *Rejection. If ctx ends first, it is the error of ctx.
//
// An unauthenticated caller can make it hash a body once for each namespace that has secrets. So it uses at most half
// of the processors, and stops when the caller disconnects.
func (v *Verifier) VerifyInNamespaces(ctx context.Context, namespaces []string, a Attempt) ([]Acceptance, error) {
	if err := v.fanoutLimit.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer v.fanoutLimit.Release(1)
	a.Target = nil
	presented := readCredentials(a, v.config.Now())
	// Most namespaces use only the default secrets for the attempt. Verify these once.
	byDefault := v.resultFor(ctx, a, v.secrets.defaultsFor(a), presented)
	results := []verifyResult{byDefault}
	var accepted []Acceptance
	for _, namespace := range namespaces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a.Namespace = namespace
		result := byDefault
		if valid, overridden := v.secrets.namespaceSecretsFor(a); overridden {
			result = v.resultFor(ctx, a, valid, presented)
		}
		results = append(results, result)
		if result.err == nil {
			accepted = append(accepted, Acceptance{namespace, result.proof})
		}
	}
	if len(accepted) > 0 || len(namespaces) == 0 && byDefault.err == nil {
		return accepted, nil
	}
	return nil, mostSpecificRejection(results)
}

// CanAccept reports whether a type of sender can be accepted with the default secrets, or in a namespace that
// Secrets.SetNamespaceFilter allows. Its cost is constant, because unauthenticated callers trigger it.
func (v *Verifier) CanAccept(source string) bool {
	return !v.config.RequireSecret || v.secrets.hasSecretFor(source)
}

type verifyResult struct {
	proof Proof
	err   error
}

func (v *Verifier) resultFor(
	ctx context.Context, a Attempt, valid validSecrets, presented credentials,
) verifyResult {
	proof, err := v.verifyWith(ctx, a, valid, presented)
	return verifyResult{proof, err}
}

// mostSpecificRejection returns a rejection of a token that may be accepted later, or because of a secret that did not
// match, or otherwise the first one.
func mostSpecificRejection(results []verifyResult) error {
	var first, mismatch error
	for _, result := range results {
		var rejection *Rejection
		switch {
		case !errors.As(result.err, &rejection):
			continue
		case rejection.RetryAfter > 0:
			return rejection
		case mismatch == nil && rejection.isMismatch():
			mismatch = rejection
		case first == nil:
			first = rejection
		}
	}
	return cmp.Or(mismatch, first)
}
