// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/target"
)

const (
	firstCommit  = "1111111111111111111111111111111111111111"
	secondCommit = "2222222222222222222222222222222222222222"
)

// push returns a GitHub push of a commit to the branch release of the repository that newWorld's Applications use.
func push(commit string) string {
	return `{"ref": "refs/heads/release", "after": "` + commit + `", "head_commit": {"id": "` + commit + `"},
		"repository": {"clone_url": "https://github.com/example/shop.git"}}`
}

// content returns an object without the fields that each write changes.
func content(obj *unstructured.Unstructured) *unstructured.Unstructured {
	obj = obj.DeepCopy()
	obj.SetResourceVersion("")
	obj.SetManagedFields(nil)
	obj.SetGeneration(0)
	return obj
}

// checkContent fails the test unless an object is unchanged except for these annotations. The value "" stands for a
// recent time in UTC.
func (w *world) checkContent(resource schema.GroupVersionResource, before *unstructured.Unstructured,
	annotations map[string]string) {
	w.T.Helper()
	want, got := content(before), content(w.Get(resource, before.GetName()))
	wanted := want.GetAnnotations()
	if wanted == nil {
		wanted = map[string]string{}
	}
	for name, value := range annotations {
		if value == "" {
			value = got.GetAnnotations()[name]
			at, err := time.Parse(time.RFC3339Nano, value)
			if err != nil || at.Location() != time.UTC || time.Since(at).Abs() > time.Hour {
				w.T.Errorf("%s is %q, want a recent time in UTC", name, value)
			}
		}
		wanted[name] = value
	}
	if by := cmp.Or(annotations["postern.dev/requested-by"], annotations[requestedBy]); by != "" &&
		annotations[requestedAt]+annotations["postern.dev/requested-at"] == "" {
		wanted[target.AnnotationEventTime] = w.checkEventTime(got, by)
	}
	want.SetAnnotations(wanted)
	if diff := gocmp.Diff(want.Object, got.Object); diff != "" {
		w.T.Errorf("%s %s (-want +got):\n%s", resource.Resource, before.GetName(), diff)
	}
}

// checkEventTime returns the annotation with the event that an object was last written for. It fails the test unless
// that was recent and for a sender of this type.
func (w *world) checkEventTime(obj *unstructured.Unstructured, by string) string {
	w.T.Helper()
	value := obj.GetAnnotations()[target.AnnotationEventTime]
	var slots map[string]struct {
		By       string
		Received time.Time
	}
	if err := json.Unmarshal([]byte(value), &slots); err != nil || len(slots) == 0 {
		w.T.Errorf("%s is %q, want a JSON object", target.AnnotationEventTime, value)
	}
	for slot, last := range slots {
		if last.By != by || time.Since(last.Received).Abs() > time.Hour {
			w.T.Errorf("%s of %s is by %q at %s, want a recent one by %q", target.AnnotationEventTime, slot, last.By,
				last.Received, by)
		}
	}
	return value
}

// pushed returns the annotations that a push leaves on an Application.
func pushed(commit string) map[string]string {
	return map[string]string{
		"postern.dev/requested-ref":            "release",
		"postern.dev/requested-revision":       commit,
		"postern.dev/requested-by":             "github",
		"postern.dev/requested-at":             "",
		"argocd.argoproj.io/refresh":           "normal",
		"argocd.argoproj.io/refresh-timestamp": "",
	}
}

func TestApplication_RequestAndRefreshOnly(t *testing.T) {
	w := newWorld(t)
	w.application("shop", map[string]string{"example.com/note": "keep me", "argocd.argoproj.io/sync-wave": "2"})
	before := w.Get(applications, "shop")

	w.ci().mustPost(t, applicationPath("shop"), push(firstCommit), nil, http.StatusAccepted)

	w.checkContent(applications, before, pushed(firstCommit))
}

func TestApplication_FollowsOnlyIfOptedIn(t *testing.T) {
	w := newWorld(t)
	w.application("shop", map[string]string{"postern.dev/update-target-revision": "true"})
	before := w.Get(applications, "shop")

	got := w.ci().mustPost(t, applicationPath("shop"), push(firstCommit), nil, http.StatusAccepted).delivery(t)

	if previous := got.Status.Targets[0].PreviousRef; previous != "main" {
		t.Errorf("got previous ref %q, want main, from targetRevision", previous)
	}
	if err := unstructured.SetNestedField(before.Object, "release", "spec", "source", "targetRevision"); err != nil {
		t.Fatal(err)
	}
	w.checkContent(applications, before, pushed(firstCommit))
}

func TestApplication_SeveralSources(t *testing.T) {
	w := newWorld(t)
	before := w.Create(applications, `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop, annotations: {postern.dev/update-target-revision: "true"}}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  sources:
  - {repoURL: "https://charts.example.com", chart: shop, targetRevision: 1.2.3}
  - {repoURL: "git@github.com:example/shop", path: deploy, targetRevision: main, ref: values}`)

	w.ci().mustPost(t, applicationPath("shop"), push(firstCommit), nil, http.StatusAccepted)

	sources, _, err := unstructured.NestedSlice(before.Object, "spec", "sources")
	if err != nil {
		t.Fatal(err)
	}
	sources[1].(map[string]any)["targetRevision"] = "release"
	if err := unstructured.SetNestedSlice(before.Object, sources, "spec", "sources"); err != nil {
		t.Fatal(err)
	}
	w.checkContent(applications, before, pushed(firstCommit))
}

func TestApplication_SamePushChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.application("shop", nil)
	ci := w.ci()
	ci.mustPost(t, applicationPath("shop"), push(firstCommit), nil, http.StatusAccepted)
	before := w.Get(applications, "shop")

	got := ci.mustPost(t, applicationPath("shop"), push(firstCommit), nil, http.StatusAccepted).delivery(t)

	w.mustBeUntouched(applications, before)
	want := []v1alpha1.TargetResult{{
		Kind: v1alpha1.TargetApplication, Name: "shop", Ref: "release", PreviousRef: "release",
		Result: v1alpha1.TargetUnchanged, Reason: "AlreadyRequested",
		Message: `postern.dev/requested-ref is "release" already`,
	}}
	if diff := gocmp.Diff(want, got.Status.Targets, ignoreTimes); diff != "" {
		t.Errorf("status.targets (-want +got):\n%s", diff)
	}
	if got.Status.Phase != v1alpha1.DeliveryApplied {
		t.Errorf("got phase %q, want Applied: the target has the ref", got.Status.Phase)
	}
}

func TestApplication_NewRevisionRefreshes(t *testing.T) {
	w := newWorld(t)
	w.application("shop", nil)
	ci := w.ci()
	ci.mustPost(t, applicationPath("shop"), push(firstCommit), nil, http.StatusAccepted)
	w.argoCDRefreshes("shop")
	before := w.Get(applications, "shop")

	got := ci.mustPost(t, applicationPath("shop"), push(secondCommit), nil, http.StatusAccepted).delivery(t)

	w.checkContent(applications, before, pushed(secondCommit))
	message := fmt.Sprintf("postern.dev/requested-revision %q → %q", firstCommit, secondCommit)
	if result := got.Status.Targets[0]; result.Result != v1alpha1.TargetWritten || result.Message != message {
		t.Errorf("got %s, %q; want Written, %q", result.Result, result.Message, message)
	}
}

// argoCDRefreshes removes the annotation, as Argo CD does on a refresh.
func (w *world) argoCDRefreshes(name string) {
	w.T.Helper()
	_, err := w.Objects.Resource(applications).Namespace(w.Namespace).Patch(w.T.Context(), name, types.MergePatchType,
		[]byte(`{"metadata": {"annotations": {"argocd.argoproj.io/refresh": null}}}`), metav1.PatchOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
}

func TestApplication_HardRefreshIsKept(t *testing.T) {
	w := newWorld(t)
	w.application("shop", map[string]string{"argocd.argoproj.io/refresh": "hard"})
	before := w.Get(applications, "shop")

	w.ci().mustPost(t, applicationPath("shop"), push(firstCommit), nil, http.StatusAccepted)

	want := pushed(firstCommit)
	want["argocd.argoproj.io/refresh"] = "hard"
	w.checkContent(applications, before, want)
}
