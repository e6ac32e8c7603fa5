// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"errors"
)

// Acceptance is a namespace in which an attempt proved itself, and by which method.
type Acceptance struct {
	Namespace string
	Method    Method
}

// VerifyInNamespaces verifies one attempt, which names no target, in each of some namespaces by the secrets that count there, and
// returns those that accept it, in the order given. A Kubernetes identity proves nothing, since RBAC has not been asked
// about these namespaces. If none accepts, and without any namespace if the default secrets don't, the error is a
// *Rejection; if ctx ends first, it is that of ctx.
//
// A stranger can make this hash a body once for each namespace that has secrets. So only half of the processors are ever
// busy with it, and it ends when the stranger leaves.
func (v *Verifier) VerifyInNamespaces(ctx context.Context, namespaces []string, a Attempt) ([]Acceptance, error) {
	if err := v.fanoutLimit.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer v.fanoutLimit.Release(1)
	a.Target = nil
	presented := readCredentials(a, v.config.Now())
	// Most namespaces have nothing for the attempt but the default secrets, and these are compared once for all of them.
	byDefault := v.resultFor(a, v.secrets.defaultsFor(a), presented)
	results := []verifyResult{byDefault}
	var accepted []Acceptance
	for _, namespace := range namespaces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a.Namespace = namespace
		result := byDefault
		if valid, overridden := v.secrets.namespaceSecretsFor(a); overridden {
			result = v.resultFor(a, valid, presented)
		}
		results = append(results, result)
		if result.err == nil {
			accepted = append(accepted, Acceptance{namespace, result.method})
		}
	}
	if len(accepted) > 0 || len(namespaces) == 0 && byDefault.err == nil {
		return accepted, nil
	}
	return nil, mostSpecificRejection(results)
}

// CanAccept reports whether a type of sender can be accepted at all: by the default secrets, or in one of the namespaces
// that Secrets.SetNamespaceFilter allows. Strangers make this be asked, so it costs the same however many namespaces there are.
func (v *Verifier) CanAccept(source string) bool {
	return !v.config.RequireSecret || v.secrets.hasSecretFor(source)
}

// verifyResult is what Verify returns.
type verifyResult struct {
	method Method
	err    error
}

func (v *Verifier) resultFor(a Attempt, valid validSecrets, presented credentials) verifyResult {
	method, err := v.verifyWith(a, valid, presented)
	return verifyResult{method, err}
}

// mostSpecificRejection returns, of some rejections, one by a secret that did not match, or else the first.
func mostSpecificRejection(results []verifyResult) error {
	var first error
	for _, result := range results {
		var rejection *Rejection
		switch {
		case !errors.As(result.err, &rejection):
			continue
		case rejection.Reason == ReasonSignatureMismatch || rejection.Reason == ReasonTokenMismatch:
			return rejection
		case first == nil:
			first = rejection
		}
	}
	return first
}
