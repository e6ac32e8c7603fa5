// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

func TestTargetRevision_Moves(t *testing.T) {
	shop, values := "https://github.com/example/shop.git", "https://github.com/example/values"
	for _, test := range []struct {
		name        string
		optIn       string
		spec        argov1alpha1.ApplicationSpec
		repository  string
		want        []Change
		wantMessage string
		// wantPatch is the part of the patch about the spec.
		wantPatch string
	}{
		{
			name:        "the one source",
			optIn:       "true",
			spec:        argov1alpha1.ApplicationSpec{Source: new(source(shop, "v1"))},
			repository:  "git@github.com:example/shop.git",
			want:        []Change{{Field: "spec.source.targetRevision", Old: "v1", New: "v2"}},
			wantMessage: `spec.source.targetRevision "v1" → "v2"`,
			wantPatch: `[
				{"op": "test", "path": "/spec/source/targetRevision", "value": "v1"},
				{"op": "add", "path": "/spec/source/targetRevision", "value": "v2"}
			]`,
		},
		{
			name:  "the only source, although it is another repository",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{Sources: []argov1alpha1.ApplicationSource{
				{RepoURL: "https://git.example.com/deploy"}}},
			repository: shop,
			want:       []Change{{Field: "spec.sources[0].targetRevision", New: "v2"}},
			wantMessage: `spec.sources[0].targetRevision set to "v2"; the ref is of "github.com/example/shop", which ` +
				`is not a repository of the Application`,
			wantPatch: `[
				{"op": "test", "path": "/spec/sources/0/targetRevision", "value": null},
				{"op": "add", "path": "/spec/sources/0/targetRevision", "value": "v2"}
			]`,
		},
		{
			name:  "every source from the repository, and not the unused spec.source",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{
				Source: new(source(shop, "v0")),
				Sources: []argov1alpha1.ApplicationSource{source(shop, "v1"), source(values, "main"),
					source("ssh://git@github.com/example/shop", "v2"), source(shop, "")},
			},
			repository: shop,
			want: []Change{
				{Field: "spec.sources[0].targetRevision", Old: "v1", New: "v2"},
				{Field: "spec.sources[3].targetRevision", New: "v2"},
			},
			wantMessage: `spec.sources[0].targetRevision "v1" → "v2"; spec.sources[3].targetRevision set to "v2"`,
			wantPatch: `[
				{"op": "test", "path": "/spec/sources/0/targetRevision", "value": "v1"},
				{"op": "test", "path": "/spec/sources/3/targetRevision", "value": ""},
				{"op": "add", "path": "/spec/sources/0/targetRevision", "value": "v2"},
				{"op": "add", "path": "/spec/sources/3/targetRevision", "value": "v2"}
			]`,
		},
		{
			name:  "the dry source of a hydrator, which is used instead of all others",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{
				Source:         new(source(shop, "v0")),
				SourceHydrator: &argov1alpha1.SourceHydrator{DrySource: source(shop, "v1")},
			},
			repository:  shop,
			want:        []Change{{Field: "spec.sourceHydrator.drySource.targetRevision", Old: "v1", New: "v2"}},
			wantMessage: `spec.sourceHydrator.drySource.targetRevision "v1" → "v2"`,
			wantPatch: `[
				{"op": "test", "path": "/spec/sourceHydrator/drySource/targetRevision", "value": "v1"},
				{"op": "add", "path": "/spec/sourceHydrator/drySource/targetRevision", "value": "v2"}
			]`,
		},
		{
			name:  "no source of several is from the repository",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{Sources: []argov1alpha1.ApplicationSource{source(values, "main"),
				source("https://x.test/y", "v1")}},
			repository:  "https://user:token@github.com/example/shop.git",
			wantMessage: `targetRevision is not changed, because none of the 2 sources is "github.com/example/shop"`,
		},
		{
			name:  "several sources and no repository to choose by",
			optIn: "true",
			spec: argov1alpha1.ApplicationSpec{Sources: []argov1alpha1.ApplicationSource{source(values, "main"),
				source(shop, "v1")}},
			wantMessage: `targetRevision is not changed, because there are 2 sources and the request names no ` +
				`repository`,
		},
		{
			name:        "no source at all",
			optIn:       "true",
			repository:  shop,
			wantMessage: `there is no source whose targetRevision could be set`,
		},
		{
			name:       "a value other than true is not consent",
			optIn:      "yes",
			spec:       argov1alpha1.ApplicationSpec{Source: new(source(shop, "v1"))},
			repository: shop,
			wantMessage: `targetRevision is not changed, because postern.dev/update-target-revision is "yes" and not ` +
				`"true"`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := decide(t, &argov1alpha1.Application{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
					"postern.dev/update-target-revision": test.optIn,
					"postern.dev/requested-ref":          "v1",
				}},
				Spec: test.spec,
			}, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Repository: test.repository, Source: "github"},
				At: noon})

			want := append([]Change{{Field: "postern.dev/requested-ref", Old: "v1", New: "v2"}}, test.want...)
			if diff := cmp.Diff(want, got.Changes); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if want := `postern.dev/requested-ref "v1" → "v2"; ` + test.wantMessage; got.Message != want {
				t.Errorf("got message\n%s\nwant\n%s", got.Message, want)
			}
			consent, spec := splitPatch(got.Patch)
			if !consent {
				t.Error("the patch does not test for consent")
			}
			if test.wantPatch == "" {
				test.wantPatch = "null"
			}
			expectPatch(t, test.wantPatch, onSpec(spec))
		})
	}
}

func TestTargetRevision_MovesBack(t *testing.T) {
	app := &argov1alpha1.Application{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
			"postern.dev/update-target-revision": "true",
			"postern.dev/requested-ref":          "v2",
		}},
		Spec: argov1alpha1.ApplicationSpec{Source: new(source("https://github.com/example/shop", "edited-by-hand"))},
	}
	got := decide(t, app, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Source: "github"}, At: noon}).Result
	want := Result{
		Changes:  []Change{{Field: "spec.source.targetRevision", Old: "edited-by-hand", New: "v2"}},
		Previous: "edited-by-hand",
		Held:     true,
		Reason:   "Requested",
		Message:  `spec.source.targetRevision "edited-by-hand" → "v2"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Argo CD refreshes an Application for a pushed tag that targetRevision names or selects. No opt-in is needed for that.
func TestTargetRevision_FollowsTag(t *testing.T) {
	const updates = AnnotationUpdateTargetRevision
	for _, test := range []struct {
		revision    string
		annotations map[string]string
		tag         string
		follows     bool
		want        string // targetRevision, if it follows
	}{
		{"v1.2.3", nil, "v1.2.3", true, "v1.2.3"},
		{"refs/tags/v1.2.3", nil, "v1.2.3", true, "refs/tags/v1.2.3"},
		{"v1.2.3", nil, "v1.2.4", false, ""},
		{"main", nil, "v1.2.3", false, ""},
		{"", nil, "v1.2.3", false, ""},
		{">=1.2, <2", nil, "v1.3.0", true, ">=1.2, <2"},
		{"1.*", nil, "1.3.0", true, "1.*"},
		{"1.*", nil, "v2.0.0", false, ""},
		{"1.2", nil, "1.2.5", false, ""}, // Argo CD looks for a tag of this name
		{"1.*", nil, "v1.3.0-rc.1", false, ""},
		{"1.*", nil, "release", false, ""},
		{strings.Repeat(">=1, ", 100) + ">=1", nil, "v1.3.0", false, ""},
		{"1.*", map[string]string{AnnotationRequestedRef: "v1.3.0"}, "v1.2.0", false, ""},
		{"1.*", map[string]string{AnnotationRequestedRef: "v1.3.0"}, "v1.3.0", true, "1.*"},
		{"1.*", map[string]string{AnnotationRequestedRef: "v2.0.0"}, "v1.2.0", true, "1.*"},
		{"1.*", map[string]string{updates: "true"}, "v1.2.0", true, "1.*"},
		{"1.*", map[string]string{updates: "true", AnnotationFollowTags: ">=2"}, "v1.2.0", true, "1.*"},
		{"1.*", map[string]string{updates: "true", AnnotationFollowTags: "1.*"}, "v1.2.0", true, "v1.2.0"},
		{"refs/tags/v1.2.3", map[string]string{updates: "true"}, "v1.2.3", true, "refs/tags/v1.2.3"},
	} {
		app := applicationOf(test.annotations, source(shop, test.revision))
		r := ifFollowed(tag(test.tag))
		follows, err := (applicationKind{}).follows(app, r)
		if follows != test.follows || err != nil {
			t.Errorf("%s, %v: follows %s: %t, %v", test.revision, test.annotations, test.tag, follows, err)
		}
		got := decide(t, app, r)
		after := appOf(t, mustApply(t, encode(t, app), got.Patch))
		if got.Held != test.follows || got.Held && (after.Annotations[argov1alpha1.AnnotationRefresh] != "normal" &&
			got.Reason != ReasonAlreadyRequested || *after.Spec.Sources[0].TargetRevision != test.want) {
			t.Errorf("%s, %v: %s resulted in %+v", test.revision, test.annotations, test.tag, got)
		}
	}
}

// To replace a range would end the tracking, also if the target is named. A ref that the range does not allow is meant.
func TestTargetRevision_KeepsRangeByName(t *testing.T) {
	git := func(revision string) argov1alpha1.ApplicationSource { return source(shop, revision) }
	for _, test := range []struct {
		name    string
		source  argov1alpha1.ApplicationSource
		held    string
		request Request
		want    string
		note    string
	}{
		{"a pushed tag in the range", git("1.x"), "", tag("v1.3.0"), "1.x", `the range "1.x" allows "v1.3.0"`},
		{"a ref in the range", git("~1.2"), "", ofType("", "1.2.9"), "~1.2", `the range "~1.2" allows "1.2.9"`},
		{"a version of a chart", chart("https://charts.acme.io", "shop", "^1"), "", ofType("", "1.3.0"), "^1",
			"allows"},
		{"a lower tag, such as of an old line", git("1.x"), "v1.3.0", tag("v1.2.9"), "1.x", "allows"},
		{"a lower tag, delivered again", git("1.x"), "v1.3.0", onPurpose(tag("v1.2.9")), "v1.2.9", ""},
		{"the same tag, delivered again", git("1.x"), "v1.3.0", onPurpose(tag("v1.3.0")), "1.x", "allows"},
		{"a tag outside", git("1.x"), "v1.3.0", tag("v2.0.0"), "v2.0.0", ""},
		{"a ref outside", git("1.x"), "", ofType("", "0.9.0"), "0.9.0", ""},
		{"a branch with the name of a version", git("1.x"), "", branch("1.3.0"), "1.3.0", ""},
		{"a commit", git("1.x"), "", ofType(postern.RefTypeCommit, commit1), commit1, ""},
		{"a short version, which is no range", git("1.2"), "", tag("1.2.9"), "1.2.9", ""},
		{"no version of a chart", chart("https://charts.acme.io", "shop", ""), "", ofType("", "1.3.0"), "1.3.0", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			annotations := map[string]string{AnnotationUpdateTargetRevision: "true"}
			if test.held != "" {
				annotations[AnnotationRequestedRef] = test.held
			}
			d := decide(t, applicationOf(annotations, test.source), test.request)
			app := appOf(t, mustApply(t, encode(t, applicationOf(annotations, test.source)), d.Patch))
			if got := *app.Spec.Sources[0].TargetRevision; got != test.want || !d.Held {
				t.Errorf("targetRevision is %s, want %s: %+v", got, test.want, d.Result)
			}
			if !strings.Contains(d.Message, test.note) || test.note == "" && strings.Contains(d.Message, "range") {
				t.Errorf("the message is %s, want %q", d.Message, test.note)
			}
			if app.Annotations[argov1alpha1.AnnotationRefresh] != argov1alpha1.RefreshNormal {
				t.Error("Argo CD is not asked to refresh")
			}
		})
	}
}

// Argo CD reads HEAD as the default branch, and refs/… as a full name.
func TestTargetRevision_NamesTheRequestedRef(t *testing.T) {
	for _, test := range []struct {
		refType   postern.RefType
		ref, want string
	}{
		{postern.RefTypeBranch, "HEAD", "refs/heads/HEAD"},
		{postern.RefTypeBranch, "refs/heads/main", "refs/heads/refs/heads/main"},
		{postern.RefTypeTag, "refs/tags/v1", "refs/tags/refs/tags/v1"},
		{postern.RefTypeTag, "v1", "v1"},
		{postern.RefTypeBranch, "feature/HEAD", "feature/HEAD"},
	} {
		for _, before := range []string{"HEAD", "refs/heads/main", "other"} {
			app := applicationOf(map[string]string{AnnotationUpdateTargetRevision: "true"}, source(shop, before))
			got := decide(t, app, ofType(test.refType, test.ref))
			after := appOf(t, mustApply(t, encode(t, app), got.Patch))
			if revision := *after.Spec.Sources[0].TargetRevision; revision != test.want {
				t.Errorf("%s %s became the targetRevision %s, want %s", test.refType, test.ref, revision, test.want)
			}
		}
	}
}

// splitPatch reports whether a patch tests for the owner's consent, and returns the operations on the spec.
func splitPatch(patch []operation) (consent bool, spec []operation) {
	for _, operation := range patch {
		switch {
		case operation.Op == "test" && operation.Path == annotationPath(AnnotationUpdateTargetRevision):
			consent = true
		case strings.HasPrefix(operation.Path, "/spec/"):
			spec = append(spec, operation)
		}
	}
	return consent, spec
}
