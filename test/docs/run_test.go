// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"strings"
	"testing"
)

func TestRun_OneShellUntilFirstFailure(t *testing.T) {
	shows := func(text string) *block { return &block{text: text, line: 7} }
	tests := []struct {
		name  string
		steps []step
		// want are parts of the error. If empty, no error is expected.
		want []string
	}{
		{name: "nothing to run"},
		{name: "variables live on", steps: []step{{script: "a=1"}, {script: `test "$a" = 1`}}},
		{
			name: "failure",
			steps: []step{{line: 3, script: "echo before"}, {line: 9, script: "echo now\nfalse\necho after"},
				{line: 12, script: "echo never"}},
			want: []string{"line 9: exit status 1", "echo now\nfalse", "printed:\nnow"},
		},
		{name: "failure in a pipe", steps: []step{{line: 2, script: "false | cat"}},
			want: []string{"line 2: exit status 1"}},
		{name: "variable that is not set", steps: []step{{line: 2, script: "echo $unset_variable"}},
			want: []string{"line 2: exit status", "unbound"}},
		{name: "output as shown", steps: []step{{script: "echo one", shows: shows("one\n")},
			{script: "echo two >&2", shows: shows("two\n")}}},
		{
			name:  "other output stops the page",
			steps: []step{{script: "echo one", shows: shows("other\n")}, {script: "exit 3"}},
			want:  []string{"line 7: the page shows\nother", "printed\none"},
		},
		{
			name:  "other output of the last step",
			steps: []step{{script: "echo one", shows: shows("other\n")}},
			want:  []string{"line 7: the page shows\nother"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := runner{dir: t.TempDir(), env: []string{"PATH=" + os.Getenv("PATH")}}.run(t.Context(), test.steps)
			if (err == nil) != (len(test.want) == 0) {
				t.Fatalf("the error is %v", err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in the error: %v", part, err)
				}
			}
		})
	}
}
