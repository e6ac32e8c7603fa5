// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

func TestManifestPaths(t *testing.T) {
	for _, test := range []struct {
		annotation, source string
		want               []string
	}{
		{".", "apps/shop", []string{"apps/shop"}},
		{".;../base;dev", "apps/shop", []string{"apps/shop", "apps/base", "apps/shop/dev"}},
		{" . ; /shared ", "apps/shop", []string{"apps/shop", "shared"}},
		{"/;.", "", []string{"", ""}},
		{"../../../..;/../shared/../lib/", "apps/shop", []string{"", "lib"}},
		{"/shared/*-secret.yaml;*.yaml", "./apps/", []string{"shared/*-secret.yaml", "apps/*.yaml"}},
		{" ; ;", "apps/shop", nil},
		{"", "apps/shop", nil},
	} {
		if diff := cmp.Diff(test.want, manifestPaths(test.annotation, test.source)); diff != "" {
			t.Errorf("%q of %q (-want +got):\n%s", test.annotation, test.source, diff)
		}
	}
}

func TestTouches(t *testing.T) {
	for _, test := range []struct {
		path, file string
		want       bool
	}{
		{"apps/shop", "apps/shop/values.yaml", true},
		{"apps/shop", "apps/shop/a/b", true},
		{"apps/shop", "apps/shop", true}, // it was a file, or a submodule
		{"apps/shop", "apps/shop2/values.yaml", false},
		{"apps/shop", "apps", false},
		{"apps/shop", "Apps/shop/values.yaml", false},
		{"apps/shop", "lib/apps/shop/a", false},
		{"", "README.md", true},
		{"shared/*-secret.yaml", "shared/a-secret.yaml", true},
		{"shared/*-secret.yaml", "shared/a/b-secret.yaml", false},
		{"shared/*", "shared/a/b", false},
		{"apps/[a-c]?.yaml", "apps/b1.yaml", true},
		{"apps/[a-c]?.yaml", "apps/d1.yaml", false},
		{"apps/[slug", "apps/[slug/page", true}, // a name that is no pattern
		{"apps/[slug", "apps/s", false},
		{`apps/\*`, "apps/*", true},
	} {
		if got := touches([]string{"other", test.path}, []string{"x/y", test.file}); got != test.want {
			t.Errorf("%q touched by %q = %t, want %t", test.path, test.file, got, test.want)
		}
	}
	if !touches(nil, []string{"a"}) || !touches([]string{"a"}, nil) ||
		!touches(slices.Repeat([]string{"a"}, maxManifestPaths+1), []string{"b"}) {
		t.Error("what is unknown is not touched")
	}
}

// numbered returns an annotation with n paths.
func numbered(n int) string {
	var annotation strings.Builder
	for i := range n {
		fmt.Fprintf(&annotation, "p%d;", i)
	}
	return annotation.String()
}

// The rule is that of Argo CD: a file is at a path, has it among its directories, or matches it as a pattern.
func TestTouches_Property(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	join := func(elements []string, most int) string {
		var chosen []string
		for range 1 + random.IntN(most) {
			chosen = append(chosen, elements[random.IntN(len(elements))])
		}
		return strings.Join(chosen, "/")
	}
	seen := map[bool]int{}
	for range 20_000 {
		source, item := join([]string{"a", "b", "."}, 2), join([]string{"a", "b", "..", ".", "*", "?b", "", "[ab]"}, 3)
		file := join([]string{"a", "b", "ab", "c"}, 3)
		root := item
		if !filepath.IsAbs(item) {
			root = filepath.Join(source, item)
		}
		root = filepath.Clean("/" + root)
		want := item == ""
		for parent := "/" + file; ; parent = filepath.Dir(parent) {
			want = want || parent == root
			if parent == "/" {
				break
			}
		}
		matches, err := filepath.Match(root, "/"+file)
		want = want || err == nil && matches
		if got := touches(manifestPaths(item, source), []string{file}); got != want {
			t.Fatalf("%q of the source %q touched by %q = %t, want %t", item, source, file, got, want)
		}
		seen[want]++
	}
	if seen[true] < 1000 || seen[false] < 1000 {
		t.Errorf("one-sided: %v", seen)
	}
}

// at returns a source at a path.
func at(path string, s argov1alpha1.ApplicationSource) argov1alpha1.ApplicationSource {
	s.Path = path
	return s
}

// changing returns a push of main that changes files.
func changing(files ...string) Request {
	r := withEvent(defaultBranch("main"), func(e *postern.DeliveryEvent) { e.Source, e.ChangedFiles = "github", files })
	r.At = minute(10)
	return r
}

func TestMatch_Unaffected(t *testing.T) {
	paths := func(value string) map[string]string {
		return map[string]string{argov1alpha1.AnnotationManifestGeneratePaths: value}
	}
	with := func(annotations map[string]string, key, value string) map[string]string {
		annotations[key] = value
		return annotations
	}
	awaited := func(received int, commit string) map[string]string {
		return with(paths("."), AnnotationEventTime, watermarkSet{slotOf(postern.TargetApplication, branch("main")): {
			By: "github", Received: minute(received), Commit: commit,
		}}.String())
	}
	shopSource := at("apps/shop", source(shop, "main"))
	app := func(value string) object { return appIn("demo", "x", paths(value), shopSource) }
	shown := appIn("demo", "x", awaited(10, "c1"), shopSource)
	shown.Status.Sync.Revision = "c1"
	shownByOne := appIn("demo", "x", awaited(10, "c1"), shopSource)
	shownByOne.Status.Sync.Revisions = []string{"c0", "c1"}
	hydrated := appIn("demo", "x", paths("."))
	hydrated.Spec.SourceHydrator = &argov1alpha1.SourceHydrator{DrySource: shopSource}
	tagged := withEvent(changing("lib/a"), func(e *postern.DeliveryEvent) { e.RefType = postern.RefTypeTag })
	for name, test := range map[string]struct {
		obj  object
		r    Request
		want bool
	}{
		"without the annotation":  {appIn("demo", "x", nil, shopSource), changing("lib/a"), false},
		"an empty annotation":     {app(" ;"), changing("lib/a"), false},
		"a file elsewhere":        {app("."), changing("lib/a"), true},
		"a file in a path":        {app("."), changing("lib/a", "apps/shop/b"), false},
		"a file in a shared path": {app(".;/lib"), changing("lib/a"), false},
		"unknown files":           {app("."), changing(), false},
		"a tag":                   {app("."), tagged, false},
		"the default branch": {
			appIn("demo", "x", paths("."), at("a", source(shop, ""))), changing("lib/a"), true,
		},
		"the root of a repository": {appIn("demo", "x", paths("."), source(shop, "main")), changing("lib/a"), false},
		"too many paths": {
			app(numbered(maxManifestPaths + 1)), changing("lib/a"), false,
		},
		"too many paths of several sources": {
			appIn("demo", "x", paths(numbered(maxManifestPaths/2+1)), shopSource, at("lib", source(shop, "main"))),
			changing("docs/a"), false,
		},
		"the same paths again and again": {
			app(strings.Repeat(".;", maxManifestPaths+1)), changing("docs/a"), false,
		},
		"a long annotation": {app(strings.Repeat("x", maxManifestPathsBytes)), changing("lib/a"), false},
		"a long path of a source": {
			appIn("demo", "x", paths("."), at(strings.Repeat("x", maxManifestPathsBytes), source(shop, "main"))),
			changing("lib/a"), false,
		},
		"long patterns and many files": {
			app("/lib/*" + strings.Repeat("x", maxManifestPathsBytes/2)),
			changing(slices.Repeat([]string{"lib/a"}, maxMatchedBytes/maxManifestPathsBytes)...), false,
		},
		"a second source at the root": {
			appIn("demo", "x", paths("."), shopSource, source(shop, "main")), changing("lib/a"), false,
		},
		"a second source that is touched": {
			appIn("demo", "x", paths("."), shopSource, at("lib", source(shop, "HEAD"))), changing("lib/a"), false,
		},
		"a second source at another branch": {
			appIn("demo", "x", paths("."), shopSource, at("lib", source(shop, "live"))), changing("lib/a"), true,
		},
		"a second source of another repository": {
			appIn("demo", "x", paths("."), shopSource, at("lib", source(values, "main"))), changing("lib/a"), true,
		},
		"its targetRevision is the branch already": {
			appIn("demo", "x", with(paths("."), AnnotationUpdateTargetRevision, "true"), shopSource),
			changing("lib/a"), true,
		},
		"a source hydrator, elsewhere":  {hydrated, changing("lib/a"), true},
		"a source hydrator, touched":    {hydrated, changing("apps/shop/a"), false},
		"a commit not seen yet":         {appIn("demo", "x", awaited(10, "c1"), shopSource), changing("lib/a"), false},
		"a commit seen":                 {shown, changing("lib/a"), true},
		"a commit seen in one source":   {shownByOne, changing("lib/a"), true},
		"a commit not seen for minutes": {appIn("demo", "x", awaited(8, "c1"), shopSource), changing("lib/a"), true},
		"a request without a commit":    {appIn("demo", "x", awaited(10, ""), shopSource), changing("lib/a"), true},
		"a GatewaySync":                 {syncIn("demo", "x", shop, "main", paths("apps")), changing("lib/a"), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, cache := startCacheOf(t, test.obj)
			matches, err := cache.Matches("demo", test.r)
			if err != nil || len(matches) != 1 || matches[0].Unaffected != test.want {
				t.Errorf("got %+v, %v, want one that is unaffected: %t", matches, err, test.want)
			}
		})
	}
}

// An Application that could not be refreshed for a push is refreshed for the next one, which may change other files.
func TestMatch_OwedRefresh(t *testing.T) {
	paths := map[string]string{argov1alpha1.AnnotationManifestGeneratePaths: "."}
	api, cache := startCacheOf(t, appIn("demo", "shop", paths, at("apps/shop", source(shop, "main"))))
	w, _ := newTestWriter(t, api, cache)
	key := postern.TargetKey{Kind: postern.TargetApplication, Namespace: "demo", Name: "shop"}
	isUnaffected := func() bool {
		t.Helper()
		matches, err := w.Matches("demo", changing("lib/a"))
		if err != nil || len(matches) != 1 {
			t.Fatalf("got %+v, %v", matches, err)
		}
		return matches[0].Unaffected
	}
	receivedAt := func(m int, r Request) Request {
		r.Received = minute(m)
		return r
	}
	if !isUnaffected() {
		t.Error("affected before anything failed")
	}
	w.RecordOwed(key, receivedAt(5, withRepository(values, changing("apps/shop/a"))))
	if !isUnaffected() {
		t.Error("affected by a failure of another repository")
	}
	w.RecordHeld(key, receivedAt(3, changing("apps/shop/a")))
	w.RecordOwed(key, receivedAt(5, changing("apps/shop/a")))
	if isUnaffected() {
		t.Error("left out although a request is owed")
	}
	w.RecordHeld(key, receivedAt(4, changing("apps/shop/a")))
	if isUnaffected() {
		t.Error("left out after an earlier request was written")
	}
	w.RecordHeld(key, receivedAt(5, changing("apps/shop/a")))
	if !isUnaffected() {
		t.Error("affected although the owed request was written")
	}

	// The annotations of the target, too, show that a later request was written.
	w.RecordOwed(key, receivedAt(6, changing("apps/shop/a")))
	if isUnaffected() {
		t.Error("left out although another request is owed")
	}
	paths[AnnotationEventTime] = watermarkSet{slotOf(key.Kind, branch("main")): {By: "x", Received: minute(7)}}.String()
	written := appIn("demo", "shop", paths, at("apps/shop", source(shop, "main")))
	api.events[applications] <- fmt.Sprintf(`{"type": "MODIFIED", "object": %s}`, versioned(t, written, 100))
	eventually(t, "the written request is in the cache", isUnaffected)
}

// With the most files and paths, matching stays cheap.
func BenchmarkMatch_Unaffected(b *testing.B) {
	var files []string
	for i := range postern.MaxChangedFiles {
		files = append(files, fmt.Sprintf("lib/%03d/main.go", i))
	}
	app := appIn("demo", "shop", map[string]string{
		argov1alpha1.AnnotationManifestGeneratePaths: ".;../base;/charts/shop;/shared/*.yaml",
	}, at("apps/shop", source(shop, "main")))
	app.Status.ReconciledAt = &metav1.Time{Time: time.Now()}
	r := changing(files...)
	for b.Loop() {
		if !isUnaffected(app, r) {
			b.Fatal("affected")
		}
	}
}
