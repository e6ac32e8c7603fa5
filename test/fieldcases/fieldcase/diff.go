// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fieldcase

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Markers that stand for a value in the expected part of an object.
const (
	// Any is any value, except null.
	Any = "(any)"
	// Changed and Unchanged compare the value with the one before the step.
	Changed   = "(changed)"
	Unchanged = "(unchanged)"
)

// Diff returns how got differs from the expected part of it, one line for each path. Only the fields of objects that
// are expected are compared; null means that the field is absent. Lists have the same length, and their items match one
// by one. before is the value before the step, for the markers.
func Diff(want, got, before any) []string {
	var lines []string
	diff("", plain(want), plain(got), plain(before), &lines)
	return lines
}

// plain returns a value as encoding/json decodes it, so that values of different Go types can be compared.
func plain(value any) (decoded any) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	_ = json.Unmarshal(encoded, &decoded) // it is valid
	return decoded
}

func diff(path string, want, got, before any, lines *[]string) {
	differs := func(wanted string) {
		*lines = append(*lines, fmt.Sprintf("%s: want %s, got %s", strings.TrimPrefix(path, "."), wanted, format(got)))
	}
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			differs(format(want))
			return
		}
		earlier, _ := before.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(want)) {
			diff(path+"."+quoteName(name), want[name], have[name], earlier[name], lines)
		}
		return
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) != len(want) {
			got = sameFields(want, have)
			differs(format(want))
			return
		}
		earlier, _ := before.([]any)
		for i := range want {
			var old any
			if i < len(earlier) {
				old = earlier[i]
			}
			diff(fmt.Sprintf("%s[%d]", path, i), want[i], have[i], old, lines)
		}
		return
	case string:
		switch {
		case want == Any && got != nil:
			return
		case want == Changed && !reflect.DeepEqual(got, before):
			return
		case want == Unchanged && reflect.DeepEqual(got, before):
			return
		case want == Unchanged:
			differs("unchanged " + format(before))
			return
		}
	}
	if !reflect.DeepEqual(want, got) {
		differs(format(want))
	}
}

// sameFields returns a list with only those fields of its items that an item of another list has, for a short message.
func sameFields(want, got []any) any {
	if got == nil {
		return nil
	}
	wanted := map[string]bool{}
	for _, item := range want {
		fields, _ := item.(map[string]any)
		for name := range fields {
			wanted[name] = true
		}
	}
	short := make([]any, len(got))
	for i, item := range got {
		short[i] = item
		if fields, ok := item.(map[string]any); ok && len(wanted) > 0 {
			fields = maps.Clone(fields)
			maps.DeleteFunc(fields, func(name string, _ any) bool { return !wanted[name] })
			short[i] = fields
		}
	}
	return short
}

// quoteName returns a name as a part of a path.
func quoteName(name string) string {
	if strings.ContainsAny(name, "./") {
		return strconv.Quote(name)
	}
	return name
}

// format returns a value as JSON.
func format(value any) string {
	if value == nil {
		return "none"
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}
