// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
)

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
