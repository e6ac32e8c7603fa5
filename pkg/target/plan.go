// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/api/meta"
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
	// slots are those of each outcome.
	slots [][]string
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
// leave. One patch brings all of them about.
func planFor(v view, requests []Request, updaters []*imageupdate.Updater) (plan, error) {
	var p plan
	steps, obj := newSteps(), v.obj
	decide := decider(updaters)
	for i, r := range requests {
		decision, err := decide(obj, r)
		if err != nil {
			return plan{}, err
		}
		if v.document == nil && (len(decision.Changes) == 0 || slices.ContainsFunc(decision.Patch, isDoubtful)) {
			return plan{}, errUnsure
		}
		p.outcomes = append(p.outcomes, decision.Outcome)
		p.slots = append(p.slots, decision.Slots)
		steps.add(decision.Patch)
		if last := i == len(requests)-1; last || len(decision.Patch) == 0 {
			continue
		}
		if obj, err = after(v.kind, obj, decision.Patch); err != nil {
			return plan{}, err
		}
	}
	var err error
	p.patch, err = steps.patch(v.document)
	return p, err
}

func isDoubtful(o Operation) bool { return o.doubtful }

// after returns a target as a patch that was decided on it leaves it, as far as rules read it.
func after(kind Kind, obj runtime.Object, patch []Operation) (runtime.Object, error) {
	document, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("could not encode the target: %w", err)
	}
	edits := slices.DeleteFunc(slices.Clone(patch), Operation.isTest) // they name what is there
	if meta, err := meta.Accessor(obj); err == nil && meta.GetAnnotations() != nil && len(meta.GetAnnotations()) == 0 {
		// Our type leaves an empty map out.
		edits = slices.Insert(edits, 0, Operation{Op: "add", Path: annotationsPath, Value: map[string]string{}})
	}
	steps, err := json.Marshal(edits)
	if err != nil {
		return nil, fmt.Errorf("could not encode the patch: %w", err)
	}
	applicable, err := jsonpatch.DecodePatch(steps)
	if err != nil {
		return nil, fmt.Errorf("could not read the patch: %w", err)
	}
	if document, err = applicable.Apply(document); err != nil {
		return nil, fmt.Errorf("could not apply the patch: %w", err)
	}
	_, changed, err := kind.api()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(document, changed); err != nil {
		return nil, fmt.Errorf("could not decode the patched target: %w", err)
	}
	return changed, nil
}

// decide decides for an object of any kind.
func decide(obj runtime.Object, r Request, updaters []*imageupdate.Updater) (Decision, error) {
	return decider(updaters)(obj, r)
}

// decider returns a function that decides for an object at some point of planning. The
// configuration of an image is read once, since no decision changes it.
func decider(updaters []*imageupdate.Updater) func(obj runtime.Object, r Request) (Decision, error) {
	known := map[string]imageupdate.Config{} // by the name of the image
	return func(obj runtime.Object, r Request) (Decision, error) {
		switch obj := obj.(type) {
		case *stokerv1alpha1.GatewaySync:
			return DecideGatewaySync(obj, r), nil
		case *argov1alpha1.Application:
			if r.Image == nil {
				return DecideApplication(obj, r), nil
			}
			config, ok := known[r.Image.Name]
			if !ok {
				config, _ = imageupdate.ReadConfigForImage(obj, updaters, *r.Image)
				known[r.Image.Name] = config
			}
			return DecideImage(obj, config, r), nil
		}
		return Decision{}, fmt.Errorf("a ref cannot be written to a %T", obj)
	}
}
