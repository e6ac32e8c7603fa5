// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fieldcase

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestDiff(t *testing.T) {
	const got = `{metadata: {annotations: {a.b/c: x}, generation: 2}, spec: {list: [{name: a, value: 1}, {name: b}]}}`
	for _, tt := range []struct {
		name, want, before string
		lines              []string
	}{
		{name: "part", want: `{metadata: {annotations: {a.b/c: x}}, spec: {list: [{name: a}, {name: b}]}}`},
		{name: "absent", want: `{status: null, metadata: {annotations: {d: null}}}`},
		{name: "number", want: `{metadata: {generation: 2}}`},
		{name: "other value", want: `{metadata: {annotations: {a.b/c: z}}}`,
			lines: []string{`metadata.annotations."a.b/c": want "z", got "x"`}},
		{name: "not absent", want: `{spec: null}`,
			lines: []string{`spec: want none, got {"list":[{"name":"a","value":1},{"name":"b"}]}`}},
		{name: "missing", want: `{status: {phase: Applied}}`,
			lines: []string{`status: want {"phase":"Applied"}, got none`}},
		{name: "shorter list", want: `{spec: {list: [{name: a}]}}`,
			lines: []string{`spec.list: want [{"name":"a"}], got [{"name":"a"},{"name":"b"}]`}},
		{name: "no list", want: `{metadata: [a]}`,
			lines: []string{`metadata: want ["a"], got none`}},
		{name: "item", want: `{spec: {list: [{value: 2}, {name: b}]}}`,
			lines: []string{`spec.list[0].value: want 2, got 1`}},
		{name: "any", want: `{metadata: {generation: (any), name: (any)}}`,
			lines: []string{`metadata.name: want "(any)", got none`}},
		{name: "changed", want: `{metadata: {generation: (changed)}, spec: {list: [(changed), (changed)]}}`,
			before: `{metadata: {generation: 1}, spec: {list: [{name: a, value: 1}]}}`,
			lines:  []string{`spec.list[0]: want "(changed)", got {"name":"a","value":1}`}},
		{name: "unchanged", want: `{metadata: {generation: (unchanged)}, status: (unchanged)}`,
			before: `{metadata: {generation: 1}}`,
			lines:  []string{`metadata.generation: want unchanged 1, got 2`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.lines, Diff(value(t, tt.want), value(t, got), value(t, tt.before))); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

func value(t *testing.T, text string) (v any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
