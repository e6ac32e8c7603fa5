// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = "# A page\n" +
	"\n" +
	"```sh\n" +
	"echo one\n" +
	"```\n" +
	"\n" +
	"```text\n" +
	"one\n" +
	"```\n" +
	"\n" +
	"* in a list:\n" +
	"\n" +
	"  ```sh\n" +
	"  echo two\n" +
	"    indented\n" +
	"  ```\n" +
	"\n" +
	"<!-- not run: needs a cloud -->\n" +
	"\n" +
	"```sh\n" +
	"cloud\n" +
	"```\n" +
	"Then:\n" +
	"```text\n" +
	"no output of the block before\n" +
	"```\n"

func TestPage_BlocksAndProse(t *testing.T) {
	got, err := parsePage(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := []block{
		{language: "sh", text: "echo one\n", line: 4},
		{language: "text", text: "one\n", line: 8, follows: true},
		{language: "sh", text: "echo two\n  indented\n", line: 14},
		{language: "sh", text: "cloud\n", line: 21, notRun: "needs a cloud"},
		{language: "text", text: "no output of the block before\n", line: 25},
	}
	if diff := cmp.Diff(want, got.blocks, cmp.AllowUnexported(block{})); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
	if strings.Contains(strings.Join(got.prose, "\n"), "echo") {
		t.Error("code is in the prose")
	}
	if want := strings.Count(sample, "\n") + 1; len(got.prose) != want {
		t.Errorf("the prose has %d lines, want %d for correct line numbers", len(got.prose), want)
	}
}

func TestPage_UnclosedBlockIsError(t *testing.T) {
	if _, err := parsePage("```sh\necho\n"); err == nil {
		t.Error("there is no error")
	}
}

func TestPage_StepsWithOutput(t *testing.T) {
	p, err := parsePage(sample)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := p.steps("")
	if err != nil {
		t.Fatal(err)
	}
	want := []step{{line: 4, script: "echo one\n", shows: &p.blocks[1]}, {line: 14, script: "echo two\n  indented\n"}}
	if diff := cmp.Diff(want, steps, cmp.AllowUnexported(step{}, block{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPage_LinkedSectionsAreSteps(t *testing.T) {
	root := t.TempDir()
	const shared = "# Shared\n\n```sh\nnever\n```\n\n## To run\n\n```sh\necho one\n```\n\n```text\none\n```\n\n" +
		"### Next\n\n```sh\nnever\n```\n"
	if err := os.WriteFile(filepath.Join(root, "shared.md"), []byte(shared), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := parsePage("First [this](../shared.md#to-run)<!-- run -->, not " +
		"[that](../shared.md#next).\n\n```sh\necho two\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	p.path = "sub/page.md"
	got, err := p.steps(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []step{
		{line: 1, script: "echo one\n", shows: &block{language: "text", text: "one\n", line: 1, follows: true}},
		{line: 4, script: "echo two\n"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{}, block{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, wrong := range []string{"../shared.md#none", "../none.md#to-run", "#to-run"} {
		p.blocks = []block{{language: languageLink, text: wrong}}
		if _, err := p.steps(root); err == nil {
			t.Errorf("a link to %s is not refused", wrong)
		}
	}
}

func TestPage_ManifestsAreDryRun(t *testing.T) {
	const named = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}"
	const generated = "apiVersion: v1\nkind: Secret\nmetadata: {generateName: a-}\n"
	got, err := tryManifest(named + "\n---\n" + generated)
	if err != nil {
		t.Fatal(err)
	}
	want := "kubectl apply --server-side --force-conflicts --dry-run=server --validate=strict -f - " +
		"<<'END-OF-MANIFEST'\n" + named + "\nEND-OF-MANIFEST\n" +
		"kubectl create --dry-run=server --validate=strict -f - <<'END-OF-MANIFEST'\n" + generated +
		"\nEND-OF-MANIFEST\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, other := range []string{"replicas: 2\n", "kind: Pod\n"} {
		if script, err := tryManifest(other); script != "" || err != nil {
			t.Errorf("%q gives %q, %v", other, script, err)
		}
	}
	if _, err := tryManifest("a: [b\n"); err == nil {
		t.Error("broken YAML is no error")
	}
}

func TestPage_OutputIgnoresVariableParts(t *testing.T) {
	tests := []struct {
		name, shown, printed string
		same                 bool
	}{
		{name: "equal", shown: "one\ntwo\n", printed: "one\ntwo\n", same: true},
		{name: "other", shown: "one\n", printed: "two\n"},
		{name: "more was printed", shown: "one\n", printed: "one\ntwo\n"},
		{name: "more was printed before", shown: "two\n", printed: "one\ntwo\n", same: true},
		{name: "a line is shown whole", shown: "two\n", printed: "one two\n"},
		{name: "less was printed", shown: "one\ntwo\n", printed: "one\n"},
		{name: "columns of another width", shown: "NAME   AGE\na      2s\n", printed: "NAME     AGE\na     10s\n",
			same: true},
		{name: "an age is needed", shown: "a 2s\n", printed: "a b\n"},
		{name: "generated name", shown: "whd/generic-7kx2p created\n", printed: "whd/generic-zzzzz created\n",
			same: true},
		{name: "name made of an id", shown: "generic-7kx2p 2s\n", printed: "generic-143d3d1ed494015642fd 2s\n",
			same: true},
		{name: "time", shown: "at: 2026-09-22T08:00:00Z\n", printed: "at: 2027-01-02T03:04:05.123456Z\n", same: true},
		{name: "left out within a line", shown: "id … end\n", printed: "id 1 2 3 end\n", same: true},
		{name: "left out lines", shown: "one\n…\nfour\n", printed: "one\ntwo\nthree\nfour\n", same: true},
		{name: "left out lines do not leave out the rest", shown: "one\n…\nfour\n", printed: "one\ntwo\n"},
		{name: "letters with a meaning in patterns", shown: "a.b*c [x]\n", printed: "a.b*c [x]\n", same: true},
		{name: "a dot is a dot", shown: "a.b\n", printed: "axb\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := compareOutput(test.shown, test.printed); (err == nil) != test.same {
				t.Errorf("same: %t, want %t: %v", err == nil, test.same, err)
			}
		})
	}
}
