// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// plan is what to do about requests of one target: an outcome of each, and one patch
// that brings all of them about.
type plan struct {
	outcomes []Outcome
	patch    []Operation
}

// view is a target at some point of planning.
type view struct {
	kind Kind
	obj  runtime.Object
	// document is the target as the API server sent it; nil if it is from the cache,
	// which does not hold all of it.
	document []byte
}

// errUnsure is that of planning on the cache, which lags behind, where it does not do:
// only a live read may say that there is nothing to do.
var errUnsure = errors.New("the cache does not tell for sure")

// planFor decides about requests one after the other, each on what the ones before it
// leave. The steps of a JSON patch follow each other in the same way, so the patches
// of all make one.
func planFor(v view, requests []Request, updaters []*imageupdate.Updater) (plan, error) {
	var p plan
	for i, r := range requests {
		decision, err := decide(v.obj, r, updaters)
		if err != nil {
			return plan{}, err
		}
		if len(decision.Changes) == 0 && v.document == nil {
			return plan{}, errUnsure
		}
		if v.document != nil {
			if decision.Patch, err = exactly(decision.Patch, v.document); err != nil {
				return plan{}, err
			}
		}
		p.outcomes = append(p.outcomes, decision.Outcome)
		p.patch = append(p.patch, decision.Patch...)
		if last := i == len(requests)-1; last || len(decision.Patch) == 0 {
			continue
		}
		if v, err = v.after(decision.Patch); err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

// after returns the target as a patch leaves it.
func (v view) after(patch []Operation) (view, error) {
	document := v.document
	if document == nil {
		var err error
		if document, err = json.Marshal(v.obj); err != nil {
			return view{}, fmt.Errorf("could not encode the target: %w", err)
		}
	}
	// The tests pass, since they name what is there; of what is from the cache not all is there.
	edits := slices.DeleteFunc(slices.Clone(patch), func(o Operation) bool { return o.Op == "test" })
	steps, err := json.Marshal(edits)
	if err != nil {
		return view{}, fmt.Errorf("could not encode the patch: %w", err)
	}
	applicable, err := jsonpatch.DecodePatch(steps)
	if err != nil {
		return view{}, fmt.Errorf("could not read the patch: %w", err)
	}
	if document, err = applicable.Apply(document); err != nil {
		if v.document == nil { // the patch is for the whole target
			return view{}, errUnsure
		}
		return view{}, fmt.Errorf("could not apply the patch: %w", err)
	}
	_, obj, err := v.kind.api()
	if err != nil {
		return view{}, err
	}
	if err := json.Unmarshal(document, obj); err != nil {
		return view{}, fmt.Errorf("could not decode the patched target: %w", err)
	}
	next := view{kind: v.kind, obj: obj}
	if v.document != nil {
		next.document = document
	}
	return next, nil
}

// decide decides for an object of any kind.
func decide(obj runtime.Object, r Request, updaters []*imageupdate.Updater) (Decision, error) {
	switch obj := obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		return DecideGatewaySync(obj, r), nil
	case *argov1alpha1.Application:
		if r.Image == nil {
			return DecideApplication(obj, r), nil
		}
		config, _ := imageupdate.ConfigForImage(obj, updaters, *r.Image)
		return DecideImage(obj, config, r), nil
	}
	return Decision{}, fmt.Errorf("a ref cannot be written to a %T", obj)
}
