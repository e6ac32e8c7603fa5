// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const imageUpdaterCRD = "artifacts/crds/imageupdaters.argocd-image-updater.argoproj.io.yaml"

const updaterOfAll = `
apiVersion: argocd-image-updater.argoproj.io/v1alpha1
kind: ImageUpdater
metadata: {name: all}
spec: {applicationRefs: [{namePattern: '*', images: [{alias: shop, imageName: harbor.example.com/team/shop}]}]}`

func TestImageUpdater_CRDInstalledLater(t *testing.T) {
	s := newSuite(t)
	if err := s.postern.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := s.newWorld(t)
	w.kubectl("", "delete", "--filename="+imageUpdaterCRD)
	w.startPostern() // it gets ready without the CRD
	process := s.postern.PID()
	w.runningShop("annotated", "harbor.example.com/team/shop:1.0.0", wantsHarborsShop)
	w.runningShop("plain", "harbor.example.com/team/shop:1.0.0", "")
	harbor, push := w.harbor(), payload(t, "harbor/push-full.json")
	plain := w.Get(applications, "plain")

	w.untilFound(harbor, sourcePath("harbor"), push, map[string]string{"annotated": "Written NewerVersion"})
	harbor.mustPost(t, sourcePath("harbor"), push.body, push.header, http.StatusAccepted)
	w.checkImages("annotated", "harbor.example.com/team/shop:1.4.0")
	w.mustBeUntouched(applications, plain)

	w.kubectl("", "create", "--filename="+imageUpdaterCRD)
	w.eventually(func() error {
		_, err := w.Objects.Resource(imageUpdaters).Namespace(w.Namespace).List(t.Context(), metav1.ListOptions{})
		return err
	})
	w.Create(imageUpdaters, updaterOfAll)
	w.untilFound(harbor, sourcePath("harbor"), push, map[string]string{
		"annotated": "Unchanged UpToDate", "plain": "Written NewerVersion",
	})
	harbor.mustPost(t, sourcePath("harbor"), push.body, push.header, http.StatusAccepted)
	w.checkImages("plain", "harbor.example.com/team/shop:1.4.0")

	if s.postern.PID() != process || !s.postern.Running() {
		t.Error("Postern had to be restarted")
	}
}

func TestImageUpdater_ChangeAndDeletion(t *testing.T) {
	w := newWorld(t)
	w.runningShop("plain", "harbor.example.com/team/shop:1.0.0", "")
	before := w.Get(applications, "plain")
	harbor, push := w.harbor(), payload(t, "harbor/push-full.json")
	w.Create(imageUpdaters, updaterOfAll)
	w.untilFound(harbor, sourcePath("harbor"), push, map[string]string{"plain": "Written NewerVersion"})

	patch := mustJSON(t,
		map[string]any{"spec": map[string]any{"commonUpdateSettings": map[string]any{"allowTags": "regexp:^2"}}})
	w.kubectl("", "patch", "imageupdater", "all", "--type=merge", "--patch="+string(patch))
	w.untilFound(harbor, sourcePath("harbor"), push, map[string]string{"plain": "Skipped TagNotAllowed"})
	d := harbor.mustPost(t, sourcePath("harbor"), push.body, push.header, http.StatusAccepted).delivery(t)
	if d.Status.Phase != "Ignored" || d.Status.Reason != "TagNotAllowed" {
		t.Errorf("got phase %s, reason %s; want Ignored, TagNotAllowed", d.Status.Phase, d.Status.Reason)
	}

	w.kubectl("", "delete", "imageupdater", "all")
	w.untilFound(harbor, sourcePath("harbor"), push, map[string]string{})
	w.mustBeUntouched(applications, before)
}

func TestImageUpdater_UseAnnotationsChanges(t *testing.T) {
	const annotations = "argocd-image-updater.argoproj.io/"
	const list = annotations + "image-list"
	w := newWorld(t)
	w.Create(imageUpdaters, `
apiVersion: argocd-image-updater.argoproj.io/v1alpha1
kind: ImageUpdater
metadata: {name: asking}
spec: {applicationRefs: [{namePattern: '*', labelSelectors: {matchLabels: {team: shop}}, useAnnotations: true}]}`)
	w.runningShop("plain", "harbor.example.com/team/shop:1.0.0", "")
	harbor, push := w.harbor(), payload(t, "harbor/push-full.json")
	for _, step := range []struct {
		change []string // arguments of kubectl
		want   map[string]string
	}{
		{[]string{"label", "application", "plain", "team=shop"}, map[string]string{}},
		{[]string{"annotate", "application", "plain", list + "=shop=harbor.example.com/team/shop:~1.4"},
			map[string]string{"plain": "Written NothingToCompare"}}, // what runs is not in the range
		{[]string{"annotate", "application", "plain", annotations + "shop.ignore-tags=1.*"},
			map[string]string{"plain": "Skipped TagIgnored"}},
		{[]string{"annotate", "application", "plain", annotations + "write-back-method=git", annotations +
			"shop.ignore-tags-"},
			map[string]string{"plain": "Written GitWriteBack"}},
		{[]string{"annotate", "application", "plain", list + "-"}, map[string]string{}},
	} {
		w.kubectl("", step.change...)
		w.untilFound(harbor, sourcePath("harbor"), push, step.want)
	}
}

func TestImageUpdater_CRDValidatesLikeOriginal(t *testing.T) {
	w := newWorld(t)
	for name, spec := range map[string]string{
		"nothing selected":               `{"applicationRefs": []}`,
		"neither images nor annotations": `{"applicationRefs": [{"namePattern": "*"}]}`,
		"a pattern twice": `{"applicationRefs": [{"namePattern": "a", "useAnnotations": true}, ` +
			`{"namePattern": "a", "useAnnotations": true}]}`,
		"an unknown method": `{"writeBackConfig": {"method": "mail"}, "applicationRefs": [{"namePattern": "a", ` +
			`"useAnnotations": true}]}`,
		"two places for an image": `{"applicationRefs": [{"namePattern": "a", "images": [{"alias": "a",
			"imageName": "a",
			"manifestTargets": {"kustomize": {"name": "a"}, "helm": {"spec": "a"}}}]}]}`,
		"a plugin without variables": `{"applicationRefs": [{"namePattern": "a", "images": [{"alias": "a",
			"imageName": "a",
			"manifestTargets": {"plugin": {"tag": "a"}}}]}]}`,
	} {
		if out := w.refused(imageUpdaterOf(t, spec), "create", "--filename=-"); !strings.Contains(out, "is invalid") {
			t.Errorf("%s: got %q", name, out)
		}
	}
	w.kubectl(imageUpdaterOf(t, `{"applicationRefs": [{"namePattern": "a", "useAnnotations": true,
		"writeBackConfig": {"method": "git:secret:argocd/git", "gitConfig": {"branch": "main:staging"}}}]}`), "create",
		"--filename=-")
	branch := w.kubectl("", "get", "imageupdater", "made",
		"--output=jsonpath={.spec.applicationRefs[0].writeBackConfig.gitConfig.branch}")
	if branch != "main:staging" {
		t.Errorf("got branch %q: fields that Postern does not read must be kept", branch)
	}
}

func imageUpdaterOf(t *testing.T, spec string) string {
	t.Helper()
	return string(mustJSON(t, map[string]any{
		"apiVersion": "argocd-image-updater.argoproj.io/v1alpha1", "kind": "ImageUpdater",
		"metadata": map[string]any{"name": "made"}, "spec": json.RawMessage(spec),
	}))
}
