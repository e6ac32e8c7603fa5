// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
	"postern.dev/postern/pkg/naming"
	"postern.dev/postern/pkg/pattern"
)

func ofType(refType postern.RefType, name string) Request {
	return Request{DeliveryEvent: &postern.DeliveryEvent{Ref: name, RefType: refType,
		Repository: "git@git.acme.io:shop"}}
}

// TestFollows applies to both kinds: they differ only in where they track a ref.
func TestFollows(t *testing.T) {
	const none = "none"
	for _, test := range []struct {
		tracked, followTags string
		pushed              Request
		want                bool
	}{
		// Branches.
		{"main", none, branch("main"), true},
		{"main", none, defaultBranch("main"), true},
		{"main", none, branch("main2"), false},
		{"main", none, branch("feature/main"), false},
		{"main", none, branch("Main"), false},
		{"refs/heads/main", none, branch("main"), true},
		{"refs/heads/main", none, branch("heads/main"), false},
		{"refs/tags/main", none, branch("main"), false},
		{"feature/a", none, branch("feature/a"), true},
		{"v1.0.0", none, branch("main"), false},
		{"main", ">=1", branch("main"), true},
		{"main", "no constraint", branch("main"), true},
		{"main", ">=1", branch("2.0.0"), false},
		// The default branch.
		{"", none, defaultBranch("main"), true},
		{"", none, branch("main"), false},
		{"HEAD", none, defaultBranch("trunk"), true},
		{"HEAD", none, branch("trunk"), false},
		{"HEAD", none, branch("HEAD"), false},
		{"HEAD", none, tag("HEAD"), false},
		{"main", none, defaultBranch("trunk"), false},
		// Tags.
		{"v1.0.0", none, tag("v1.1.0"), false},
		{"v1.0.0", none, tag("v1.0.0"), true},
		{"refs/tags/v1.0.0", none, tag("v1.0.0"), true},
		{"refs/heads/v1.0.0", none, tag("v1.0.0"), false},
		{"stable", none, tag("stable"), true},
		{"refs/tags/v1.0.0", none, branch("v1.0.0"), false},
		{"refs/tags/v1.0.0", none, tag("refs/tags/v1.0.0"), false},
		{"refs/heads/main", none, branch("refs/heads/main"), false},
		// Short names that look like full ones.
		{"refs/heads/main", none, tag("refs/heads/main"), false},
		{"refs/tags/refs/heads/main", none, tag("refs/heads/main"), true},
		{"refs/tags/v1", none, branch("refs/tags/v1"), false},
		{"refs/heads/refs/tags/v1", none, branch("refs/tags/v1"), true},
		{"refs/heads/main", none, ofType("", "main"), true},
		{"main", none, tag("main"), true},
		{"dev", ">=1", tag("main"), false},
		{"v1.0.0", ">=1", tag("v1.1.0"), true},
		{"v1.0.0", "*", tag("v1.1.0"), true},
		{"main", ">=1", tag("v1.1.0"), true},
		{"", ">=1", tag("v1.1.0"), true},
		{"v1.0.0", ">=1, <2", tag("v2.0.0"), false},
		{"v1.0.0", "1.x || >=3", tag("3.0.0"), true},
		{"v1.0.0", ">=1", tag("release-7"), false},
		{"v1.0.0", ">=1", tag("v1.1.0-rc.1"), false},
		{"v1.0.0", ">=1-0", tag("v1.1.0-rc.1"), true},
		// Never backwards.
		{"v1.1.0", ">=1", tag("v1.0.9"), false},
		{"v1.10.0", ">=1", tag("v1.9.0"), false},
		{"v1.9.0", ">=1", tag("v1.10.0"), true},
		{"refs/tags/v1.1.0", ">=1", tag("v1.0.9"), false},
		{"v1.1.0", ">=1", tag("v1.1.0"), true},
		{"v1.1.0", ">=1-0", tag("v1.1.0-rc.1"), false},
		{"v2.0.0", "1.x", tag("v1.5.0"), false},
		{"1.x", ">=1", tag("v1.0.0"), true},
		// An unknown type may be either.
		{"main", none, ofType("", "main"), true},
		{"v1.0.0", none, ofType("", "v1.0.0"), true},
		{"v1.0.0", none, ofType("", "v1.1.0"), false},
		{"v1.0.0", ">=1", ofType("", "v1.1.0"), true},
		{"v1.0.0", ">=1", ofType("", "v0.9.0"), false},
		{"", none, ofType("", "main"), false},
		// Other types, such as commits, are never followed, even if they look like versions.
		{"main", ">=1", ofType("Commit", "1234567"), false},
		{"1234567", ">=1", ofType("Commit", "1234567"), false},
		// Another repository, or an unknown one.
		{"main", "*", Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "main", RefType: postern.RefTypeBranch,
			Repository: values}}, false},
		{"v1", "*", Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", RefType: postern.RefTypeTag,
			Repository: values}}, false},
		{"main", "*", Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "main", RefType: postern.RefTypeBranch}},
			false},
	} {
		r := test.pushed
		name := strings.Join([]string{test.tracked, test.followTags, string(r.RefType), r.Ref,
			naming.NormalizeRepository(r.Repository)}, ",")
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{}
			if test.followTags != none {
				annotations[AnnotationFollowTags] = test.followTags
			}
			got, err := (gatewaySyncKind{}).follows(syncOf(annotations, test.tracked), r)
			if got != test.want || err != nil {
				t.Errorf("a GatewaySync: got %v, %v, want %v", got, err, test.want)
			}
			got, err = (applicationKind{}).follows(applicationOf(annotations, source(shop, test.tracked)), r)
			if got != test.want || err != nil {
				t.Errorf("an Application: got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestFollows_RequestedRefOverridesTracked(t *testing.T) {
	for _, test := range []struct {
		ref, requested string
		pushed         Request
		want           bool
	}{
		{"main", "v1.0.0", branch("main"), false},
		{"v1.0.0", "main", branch("main"), true},
		{"main", "v1.5.0", tag("v1.4.0"), false},
		{"main", "v1.5.0", tag("v1.6.0"), true},
		{"v1.5.0", "v1.3.0", tag("v1.4.0"), false},
		{"v1.5.0", "main", tag("v1.4.0"), false},
	} {
		sync := syncOf(map[string]string{AnnotationFollowTags: "*",
			stokerv1alpha1.AnnotationRequestedRef: test.requested}, test.ref)
		if got, err := (gatewaySyncKind{}).follows(sync, test.pushed); got != test.want || err != nil {
			t.Errorf("at %s, requested %s, pushed %s: got %v, %v", test.ref, test.requested, test.pushed.Ref, got, err)
		}
	}
}

func TestFollows_ApplicationSources(t *testing.T) {
	for _, test := range []struct {
		name      string
		requested string
		sources   []argov1alpha1.ApplicationSource
		pushed    Request
		want      string // the indexes of the sources
	}{
		{"a branch", "", []argov1alpha1.ApplicationSource{source(shop, "main"), source(values, "main"),
			source(shop, "v1")}, branch("main"), "0"},
		{"a tag", "", []argov1alpha1.ApplicationSource{source(shop, "main"), source(values, "v1"), source(shop, "v1")},
			tag("v2"), "0 2"},
		{"a tag that is older than one of two", "",
			[]argov1alpha1.ApplicationSource{source(shop, "v3"), source(shop, "v1")}, tag("v2"), "1"},
		{"nothing", "", []argov1alpha1.ApplicationSource{source(values, "main")}, branch("main"), ""},
		{"a tag older than the requested one", "v3",
			[]argov1alpha1.ApplicationSource{source(shop, "v1"), source(shop, "main")}, tag("v2"), ""},
		{"the requested ref may be of another repository", "v3",
			[]argov1alpha1.ApplicationSource{source(shop, "v1"), source(values, "v1")}, tag("v2"), "0"},
		{"the request may be for an image", "nginx:3.0.0", []argov1alpha1.ApplicationSource{source(shop, "v1")},
			tag("v2"), "0"},
		{"no source", "", nil, tag("v2"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := applicationOf(map[string]string{AnnotationFollowTags: "*", AnnotationRequestedRef: test.requested},
				test.sources...)
			if test.sources == nil {
				app.Spec = argov1alpha1.ApplicationSpec{}
			}
			followed, problem := sourcesFollowing(app.Namespace, app.Annotations, sourcesOf(&app.Spec), test.pushed)
			var places []string
			for _, source := range followed {
				places = append(places, strings.Trim(strings.TrimPrefix(source.field, "spec.source"), "s[]"))
			}
			if got := strings.Join(places, " "); got != test.want || problem != nil {
				t.Errorf("got %q, %v, want %q", got, problem, test.want)
			}
		})
	}
}

func TestFollows_InvalidConstraint(t *testing.T) {
	for constraint, want := range map[string]string{
		"": `postern.dev/follow-tags is "", which is not a semver constraint: ` +
			`improper constraint: ""`,
		"latest": `postern.dev/follow-tags is "latest", which is not a semver constraint: ` +
			`improper constraint: "latest"`,
		strings.Repeat("x", 257): `postern.dev/follow-tags has 257 bytes, which is too long for a semver constraint`,
		"v1,,v2": `postern.dev/follow-tags is "v1,,v2", which is not a semver constraint: ` +
			`improper constraint: "v1,,v2"`,
	} {
		annotations := map[string]string{AnnotationFollowTags: constraint}
		if got, err := (gatewaySyncKind{}).follows(syncOf(annotations, "v1"), tag("v2")); got || err == nil ||
			err.Error() != want {
			t.Errorf("a GatewaySync with %q: got %v, %v", constraint, got, err)
		}
		if got, err := (applicationKind{}).follows(applicationOf(annotations, source(shop, "v1")), tag("v2")); got ||
			err == nil || err.Error() != want {
			t.Errorf("an Application with %q: got %v, %v", constraint, got, err)
		}
		// The pushed ref may be a branch that a source tracks.
		if got, err := (applicationKind{}).follows(applicationOf(annotations, source(shop, "v1"), source(shop, "v2")),
			ofType("", "v2")); !got || err != nil {
			t.Errorf("an Application with %q that tracks the ref: got %v, %v", constraint, got, err)
		}
	}
}

// TestFollows_TooManySources also requests a ref for all sources by name, which would take a patch with as many
// steps.
func TestFollows_TooManySources(t *testing.T) {
	app := &argov1alpha1.Application{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{AnnotationUpdateTargetRevision: "true"}}}
	for range maxSources + 1 {
		app.Spec.Sources = append(app.Spec.Sources,
			argov1alpha1.ApplicationSource{RepoURL: shop, TargetRevision: new("main")})
	}
	const many = "101 sources"
	if followed, err := (applicationKind{}).follows(app, branch("main")); followed || err == nil ||
		!strings.Contains(err.Error(), many) {
		t.Errorf("followed %v, %v", followed, err)
	}
	if got := decide(t, app, branch("other")); len(got.Patch) > 50 || !strings.Contains(got.Message, many) {
		t.Errorf("got %d steps of a patch, and %q", len(got.Patch), got.Message)
	}
	app.Spec.Sources = app.Spec.Sources[1:]
	if followed, err := (applicationKind{}).follows(app, branch("main")); !followed || err != nil {
		t.Errorf("of %d: followed %v, %v", maxSources, followed, err)
	}
	if got := decide(t, app, branch("other")); len(got.Changes) < maxSources {
		t.Errorf("of %d: got %d changes", maxSources, len(got.Changes))
	}
}

func TestFollows_ConstraintIsCompiledOnce(t *testing.T) {
	app := &argov1alpha1.Application{ObjectMeta: metav1.ObjectMeta{
		Namespace: "compiled-once", Annotations: map[string]string{AnnotationFollowTags: ">=1, <9"}}}
	for range 20 {
		app.Spec.Sources = append(app.Spec.Sources,
			argov1alpha1.ApplicationSource{RepoURL: shop, TargetRevision: new("1.0.0")})
	}
	before := pattern.Compilations()
	for range 10 {
		if followed, err := (applicationKind{}).follows(app.DeepCopy(), tag("1.1.0")); !followed || err != nil {
			t.Fatalf("followed %v, %v", followed, err)
		}
	}
	if got := pattern.Compilations() - before; got != 1 {
		t.Errorf("it was compiled %d times", got)
	}
}
