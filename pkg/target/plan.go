// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// plan is the outcomes of requests for one target, and one patch for all of them.
type plan struct {
	outcomes []Outcome
	patch    []Operation
	// slots are the slots of each outcome.
	slots [][]string
}

// snapshot is a target as it was read.
type snapshot struct {
	kind postern.TargetKind
	obj  runtime.Object
	// document is the target as received from the API server; nil if it is from the cache, which keeps only parts.
	document []byte
}

// errCacheUncertain is returned if a plan on the cache, which lags behind, does not suffice: only a live read can show
// that there is nothing to do.
var errCacheUncertain = errors.New("the cache is not conclusive")

// planFor decides on requests in order, each on the result of the ones before it, and merges the patches. It returns
// the error of ctx if ctx ends before the last request.
func planFor(ctx context.Context, v snapshot, requests []Request, updaters []*imageupdate.Updater) (plan, error) {
	var p plan
	var working *workingCopy
	combined, obj := newCombinedPatch(), v.obj
	decide, kept := newDecider(updaters), &lastRead{}
	for i, r := range requests {
		if err := ctx.Err(); err != nil {
			return plan{}, err
		}
		// Other deliveries pass through many goroutines, each of which would wait for the end of a long plan.
		goruntime.Gosched()
		r.Ordering.kept = kept
		decision, err := decide(obj, r)
		if err != nil {
			return plan{}, err
		}
		if v.document == nil && (len(decision.Changes) == 0 || slices.ContainsFunc(decision.Patch, isUncertain)) {
			return plan{}, errCacheUncertain
		}
		p.outcomes = append(p.outcomes, decision.Outcome)
		p.slots = append(p.slots, decision.Slots)
		combined.add(decision.Patch)
		if last := i == len(requests)-1; last || len(decision.Patch) == 0 {
			continue
		}
		if working == nil {
			if working, err = copyOf(obj); err != nil {
				return plan{}, err
			}
			obj = working.obj
		}
		if err := working.apply(decision.Patch); err != nil {
			return plan{}, err
		}
	}
	var err error
	p.patch, err = combined.patch(v.document)
	return p, err
}

func isUncertain(o Operation) bool { return o.uncertain }

// decide decides on one request for an object of any kind.
func decide(obj runtime.Object, r Request, updaters []*imageupdate.Updater) (Decision, error) {
	return newDecider(updaters)(obj, r)
}

// newDecider returns a function that decides on requests for one object, at any point of planning. The configuration of
// an image is read once, since no decision changes it.
func newDecider(updaters []*imageupdate.Updater) func(obj runtime.Object, r Request) (Decision, error) {
	known := map[string]imageupdate.Config{} // by the name of the image
	return func(obj runtime.Object, r Request) (Decision, error) {
		switch obj := obj.(type) {
		case *stokerv1alpha1.GatewaySync:
			return DecideGatewaySync(obj, r), nil
		case *argov1alpha1.Application:
			if r.Image == nil {
				return DecideApplication(obj, r), nil
			}
			config, ok := known[r.Image.Name()]
			if !ok {
				config, _ = imageupdate.ReadConfigForImage(obj, updaters, r.image())
				known[r.Image.Name()] = config
			}
			return DecideImage(obj, config, r), nil
		}
		return Decision{}, fmt.Errorf("a ref cannot be written to a %T", obj)
	}
}
