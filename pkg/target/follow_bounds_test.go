// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/pattern"
)

// TestASourceOfVeryManyIsNotFollowed also requests a ref for all sources by name, which would take a patch with as many
// steps.
func TestASourceOfVeryManyIsNotFollowed(t *testing.T) {
	app := &argov1alpha1.Application{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{AnnotationUpdateTargetRevision: "true"}}}
	for range maxSources + 1 {
		app.Spec.Sources = append(app.Spec.Sources,
			argov1alpha1.ApplicationSource{RepoURL: shop, TargetRevision: ptr.To("main")})
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

func TestAConstraintIsCompiledOnce(t *testing.T) {
	app := &argov1alpha1.Application{ObjectMeta: metav1.ObjectMeta{
		Namespace: "compiled-once", Annotations: map[string]string{AnnotationFollowTags: ">=1, <9"}}}
	for range 20 {
		app.Spec.Sources = append(app.Spec.Sources,
			argov1alpha1.ApplicationSource{RepoURL: shop, TargetRevision: ptr.To("1.0.0")})
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
