// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLinks_LeadSomewhere(t *testing.T) {
	root := repository(t)
	for _, path := range markdown(t, root) {
		p, err := readPage(root, path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, err := range p.brokenLinks(root) {
			t.Error(err)
		}
	}
}

func TestLinks_IndexListsEveryPage(t *testing.T) {
	root := repository(t)
	index, err := os.ReadFile(filepath.Join(root, "docs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{"README.md": true}
	for _, match := range link.FindAllStringSubmatch(string(index), -1) {
		linked[match[1]] = true
	}
	for _, path := range tested(t, root) {
		name, err := filepath.Rel("docs", path)
		if err != nil {
			t.Fatal(err)
		}
		// A directory with its own index is linked through that.
		if path != "README.md" && !linked[name] && !linked[filepath.Join(filepath.Dir(name), "README.md")] {
			t.Errorf("%s is not in docs/README.md", path)
		}
	}
}

func TestLinks_AnchorsLikeGitHub(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a.md":     "# One, two: `three`\n\n## Again\n\n## Again\n\n<a id=\"own\"></a>\n",
		"sub/b.md": "# B\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for to, right := range map[string]bool{
		"b.md": true, "../a.md": true, "../a.md#one-two-three": true, "../a.md#again-1": true, "../a.md#own": true,
		"#b": true, "https://example.com/nothing": true, "..": true,
		"c.md": false, "../a.md#again-2": false, "#c": false, "../../a.md": false,
	} {
		if err := checkLink(root, "sub/b.md", to); (err == nil) != right {
			t.Errorf("%s: valid is %t, want %t: %v", to, err == nil, right, err)
		}
	}
	p, err := parsePage("a [link](one.md) and `[code](two.md)`\n```sh\n[ -n x ](three.md)\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	p.path = "page.md"
	var got []string
	for _, err := range p.brokenLinks(root) {
		got = append(got, err.Error())
	}
	want := []string{"page.md:1: one.md leads nowhere: stat " + root + "/one.md: no such file or directory"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
