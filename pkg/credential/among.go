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

// VerifyAmong verifies one attempt, which names no target, in each of some namespaces by the secrets that count there, and
// returns those that accept it, in the order given. A Kubernetes identity proves nothing, since RBAC has not been asked
// about these namespaces. If none accepts, and without any namespace if the default secrets don't, the error is a
// *Rejection; if ctx ends first, it is that of ctx.
//
// A stranger can make this hash a body once for each namespace that has secrets. So only half of the processors are ever
// busy with it, and it ends when the stranger leaves.
func (v *Verifier) VerifyAmong(ctx context.Context, namespaces []string, a Attempt) ([]Acceptance, error) {
	if err := v.among.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer v.among.Release(1)
	a.Target = nil
	shown := proofsOf(a, v.config.Now())
	// Most namespaces have nothing for the attempt but the default secrets, and these are compared once for all of them.
	byDefault := v.verdictOf(a, v.secrets.defaultsFor(a), shown)
	verdicts := []verdict{byDefault}
	var accepted []Acceptance
	for _, namespace := range namespaces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a.Namespace = namespace
		verdict := byDefault
		if valid, own := v.secrets.ownFor(a); own {
			verdict = v.verdictOf(a, valid, shown)
		}
		verdicts = append(verdicts, verdict)
		if verdict.err == nil {
			accepted = append(accepted, Acceptance{namespace, verdict.method})
		}
	}
	if len(accepted) > 0 || len(namespaces) == 0 && byDefault.err == nil {
		return accepted, nil
	}
	return nil, mostTelling(verdicts)
}

// CanProve reports whether a type of sender can be accepted at all: by the default secrets, or in one of the namespaces
// that Secrets.SetAmong allows. Strangers make this be asked, so it costs the same however many namespaces there are.
func (v *Verifier) CanProve(source string) bool {
	return !v.config.RequireSecret || v.secrets.holdAny(source)
}

// verdict is what Verify returns.
type verdict struct {
	method Method
	err    error
}

func (v *Verifier) verdictOf(a Attempt, valid validSecrets, shown proofs) verdict {
	method, err := v.judge(a, valid, shown)
	return verdict{method, err}
}

// mostTelling returns, of some rejections, one by a secret that did not match, or else the first.
func mostTelling(verdicts []verdict) error {
	var first error
	for _, verdict := range verdicts {
		var rejection *Rejection
		switch {
		case !errors.As(verdict.err, &rejection):
			continue
		case rejection.Reason == ReasonSignatureMismatch || rejection.Reason == ReasonTokenMismatch:
			return rejection
		case first == nil:
			first = rejection
		}
	}
	return first
}
