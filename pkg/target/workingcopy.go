// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

// workingCopy is a target during planning, with the edits of earlier decisions to the fields that rules read. Encoding,
// patching and decoding the object for each decision would cost in proportion to its size, which its owner chooses.
type workingCopy struct{ obj runtime.Object }

// copyOf returns a working copy of an object. The object may be from a cache and is not modified.
func copyOf(obj runtime.Object) (*workingCopy, error) {
	switch whole := obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		copied := *whole
		obj = &copied
	case *argov1alpha1.Application:
		copied := *whole
		obj = &copied
	default:
		return nil, fmt.Errorf("a ref cannot be written to a %T", obj)
	}
	_, err := trim(obj) // which copies the annotations
	return &workingCopy{obj}, err
}

// apply applies the edits of a patch, and skips its tests.
func (c *workingCopy) apply(patch []Operation) error {
	for _, o := range patch {
		if o.isTest() {
			continue
		}
		if err := edit(reflect.ValueOf(c.obj), strings.Split(strings.TrimPrefix(o.Path, "/"), "/"), o); err != nil {
			return fmt.Errorf("could not plan to %s %s: %w", o.Op, o.Path, err)
		}
	}
	return nil
}

// edit applies an edit at a path below v. Values in pointers and slices are replaced and never modified: the original
// object, and earlier decisions, may share them. Only annotations, the only map, belong to the copy.
func edit(v reflect.Value, path []string, o Operation) error {
	if len(path) == 0 {
		return assign(v, o.Value)
	}
	name := pointerUnescaper.Replace(path[0])
	switch v.Kind() {
	case reflect.Pointer:
		return editPointed(v, path, o)
	case reflect.Struct:
		if member, ok := member(v, name); ok {
			return edit(member, path[1:], o)
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

func editPointed(v reflect.Value, path []string, o Operation) error {
	if !v.CanSet() { // the object itself
		return edit(v.Elem(), path, o)
	}
	pointed := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		pointed.Elem().Set(v.Elem())
	}
	v.Set(pointed)
	return edit(pointed.Elem(), path, o)
}

// editItem edits an item of a list, or appends one if name is "-".
func editItem(v reflect.Value, name string, path []string, o Operation) error {
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

// member returns the field of a struct that has a name in JSON.
func member(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tagged, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tagged == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
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
