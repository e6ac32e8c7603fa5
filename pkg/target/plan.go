// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/pkg/imageupdate"
)

// snapshot is a target as it was read.
type snapshot struct {
	kind targetKind
	obj  object
	// document is the target as received from the API server; nil if it is from the cache, which keeps only parts.
	document []byte
}

// planState is what decisions depend on apart from the target and the request. Each write, and each plan in it, has its
// own.
type planState struct {
	// maxReceived is the latest plausible receipt; zero if all are plausible.
	maxReceived time.Time
	// held are the last requests that the target was found to hold, also if it does not record them.
	held watermarkSet
	// shared is whether other processes write to the target.
	shared bool
	// updaters are the ImageUpdater objects that may configure the target.
	updaters []*imageupdate.Updater

	// configs caches imageConfig by the name of the image: no decision changes the configuration.
	configs map[string]imageupdate.Config
	// recorded caches the watermarks in the annotation recordedIn, which the owner may make large.
	recorded   watermarkSet
	recordedIn string
}

// plan is the decisions on requests for one target, and one patch for all of them.
type plan struct {
	decisions []decision
	patch     []operation
}

// errCacheUncertain is returned if a plan on the cache, which lags behind, does not suffice: only a live read can show
// that there is nothing to do.
var errCacheUncertain = errors.New("the cache is not conclusive")

// planFor decides on requests in order, each on the result of the ones before it, and merges the patches. It returns
// the error of ctx if ctx ends before the last request.
func planFor(ctx context.Context, v snapshot, requests []Request, state planState) (plan, error) {
	var p plan
	combined, obj := newCombinedPatch(), v.obj
	for i, r := range requests {
		if err := ctx.Err(); err != nil {
			return plan{}, err
		}
		// Other deliveries pass through many goroutines, each of which would wait for the end of a long plan.
		goruntime.Gosched()
		d := v.kind.decide(obj, r, &state)
		isUncertain := func(o operation) bool { return o.uncertain }
		if v.document == nil && (len(d.Changes) == 0 || slices.ContainsFunc(d.Patch, isUncertain)) {
			return plan{}, errCacheUncertain
		}
		p.decisions = append(p.decisions, d)
		combined.add(d.Patch)
		if last := i == len(requests)-1; last || len(d.Patch) == 0 {
			continue
		}
		if obj == v.obj {
			obj = workingCopy(obj)
		}
		if err := applyEdits(obj, d.Patch); err != nil {
			return plan{}, err
		}
	}
	var err error
	p.patch, err = combined.patch(v.document)
	return p, err
}

// workingCopy returns a copy of a target for the edits of decisions to the fields that rules read. Encoding, patching
// and decoding the object for each decision would cost in proportion to its size, which its owner chooses. The object
// may be from a cache and is not modified.
func workingCopy(obj object) object {
	copied := reflect.New(reflect.TypeOf(obj).Elem())
	copied.Elem().Set(reflect.ValueOf(obj).Elem())
	working := copied.Interface().(object)
	working.SetAnnotations(maps.Clone(obj.GetAnnotations()))
	return working
}

// applyEdits applies the edits of a patch to a working copy, and skips its tests.
func applyEdits(working object, patch []operation) error {
	for _, o := range patch {
		if o.isTest() {
			continue
		}
		path := strings.Split(strings.TrimPrefix(o.Path, "/"), "/")
		if err := edit(reflect.ValueOf(working), path, o); err != nil {
			return fmt.Errorf("could not plan to %s %s: %w", o.Op, o.Path, err)
		}
	}
	return nil
}

// edit applies an edit at a path below v. Values in pointers and slices are replaced and never modified: the original
// object, and earlier decisions, may share them. Only annotations, the only map, belong to the copy.
func edit(v reflect.Value, path []string, o operation) error {
	if len(path) == 0 {
		return assign(v, o.Value)
	}
	name := pointerUnescaper.Replace(path[0])
	switch v.Kind() {
	case reflect.Pointer:
		if !v.CanSet() { // the object itself
			return edit(v.Elem(), path, o)
		}
		pointed := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			pointed.Elem().Set(v.Elem())
		}
		v.Set(pointed)
		return edit(pointed.Elem(), path, o)
	case reflect.Struct:
		for i := range v.NumField() {
			if tagged, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tagged == name {
				return edit(v.Field(i), path[1:], o)
			}
		}
	case reflect.Slice:
		return editItem(v, name, path[1:], o)
	case reflect.Map:
		item := reflect.New(v.Type().Elem()).Elem()
		if o.Op == "remove" {
			item = reflect.Value{}
		} else if err := edit(item, path[1:], o); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name), item)
		return nil
	}
	return fmt.Errorf("there is no %q", name)
}

// editItem edits an item of a list, or appends one if name is "-".
func editItem(v reflect.Value, name string, path []string, o operation) error {
	index := v.Len()
	if name != "-" {
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= v.Len() || len(path) == 0 && o.Op != "replace" {
			return fmt.Errorf("there is no item %q", name)
		}
		index = i
	}
	items := reflect.MakeSlice(v.Type(), max(v.Len(), index+1), max(v.Len(), index+1))
	reflect.Copy(items, v)
	v.Set(items)
	return edit(items.Index(index), path, o)
}

// assign sets v to the value that JSON decodes from value.
func assign(v reflect.Value, value any) error {
	if text, ok := value.(string); ok && v.Kind() == reflect.String {
		v.SetString(text)
		return nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	decoded := reflect.New(v.Type())
	if err := json.Unmarshal(encoded, decoded.Interface()); err != nil {
		return err
	}
	v.Set(decoded.Elem())
	return nil
}
