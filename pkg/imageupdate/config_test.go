// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// annotated returns an Application with Image Updater's annotations.
func annotated(annotations map[string]string) *argov1alpha1.Application {
	app := &argov1alpha1.Application{ObjectMeta: metav1.ObjectMeta{
		Namespace: "argocd", Name: "shop", Annotations: map[string]string{}}}
	for name, value := range annotations {
		app.Annotations[iuv1alpha1.AnnotationPrefix+name] = value
	}
	return app
}

func TestConfigFor_ReadsAnnotations(t *testing.T) {
	got, found := ConfigFor(annotated(map[string]string{
		"image-list": " web=ghcr.io/acme/web:~1.2 , acme/plain, a/b = localhost:5000/x:>=1.0 , =y:1, acme/UPPER:1," +
			" broken=nginx, pinned=z:main@sha256:0123, w:>=2.0",
		"update-strategy":             "alphabetical",
		"allow-tags":                  "regexp:^1",
		"ignore-tags":                 "latest, dev",
		"force-update":                "true",
		"platforms":                   "linux/s390x",
		"write-back-method":           " git:secret:argocd/creds ",
		"web.update-strategy":         "Latest",
		"web.allow-tags":              " any ",
		"web.ignore-tags":             "",
		"web.force-update":            "false",
		"web.platforms":               "linux/amd64, linux/arm64",
		"web.pull-secret":             "secret:argocd/creds#x",
		"web.helm.image-name":         "web.image",
		"web.helm.image-tag":          "web.tag",
		"a_b.update-strategy":         "tarot",
		"a_b.allow-tags":              "",
		"a_b.kustomize.image-name":    " base/x ",
		"broken.force-update":         "perhaps",
		"broken.kustomize.image-name": "x",
		"pinned.tag-match":            "regexp:^v",
		"pinned.helm.image-spec":      "z.image",
		"pinned.helm.image-tag":       "z.tag",
	}), nil)
	want := Config{
		Origin:    "annotations",
		WriteBack: "git:secret:argocd/creds",
		Images: []ImageConfig{
			{Alias: "web", Name: "ghcr.io/acme/web", Constraint: "~1.2", Strategy: NewestBuild, AllowTags: "any",
				Target: ManifestTarget{SourceType: "Helm", Name: "web.image", Tag: "web.tag"}},
			{Name: "acme/plain", Strategy: Alphabetical, AllowTags: "regexp:^1", IgnoreTags: []string{"latest", "dev"},
				ForceUpdate: true},
			{Alias: "a/b", Name: "localhost:5000/x", Constraint: ">=1.0", Strategy: Semver, AllowTags: "regexp:^1",
				IgnoreTags: []string{"latest", "dev"}, ForceUpdate: true,
				Target: ManifestTarget{SourceType: "Kustomize", Name: "base/x"}},
			{Name: "y", Constraint: "1", Strategy: Alphabetical, AllowTags: "regexp:^1",
				IgnoreTags: []string{"latest", "dev"}, ForceUpdate: true},
			{Alias: "broken", Name: "nginx", Strategy: Alphabetical, AllowTags: "regexp:^1",
				IgnoreTags: []string{"latest", "dev"}, Target: ManifestTarget{SourceType: "Kustomize", Name: "x"},
				Problem: `its force-update is "perhaps"; it must be true or false`},
			{Alias: "pinned", Name: "z", Constraint: "main", Strategy: Alphabetical, AllowTags: "regexp:^v",
				IgnoreTags: []string{"latest", "dev"}, ForceUpdate: true,
				Target: ManifestTarget{SourceType: "Helm", Spec: "z.image"}},
			{Name: "w", Constraint: ">=2.0", Strategy: Alphabetical, AllowTags: "regexp:^1",
				IgnoreTags: []string{"latest", "dev"}, ForceUpdate: true},
		},
		Notes: []string{
			"web: platforms linux/amd64, linux/arm64 are not checked: a push does not say which platforms it was " +
				"built for",
			"web: the pull secret is not used: Postern does not query registries",
			`a/b: unknown strategy "tarot"; semver is used`,
			`"acme/UPPER" is not the name of an image: invalid reference format: repository name (acme/UPPER) must ` +
				`be lowercase`,
		},
	}
	if !found {
		t.Error("no configuration was found")
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("ConfigFor() differs (-want +got):\n%s", diff)
	}
}

func TestConfigFor_ErrorForAllImagesStopsAll(t *testing.T) {
	config, _ := ConfigFor(annotated(map[string]string{"image-list": "a=x, y", "force-update": "yes!"}), nil)
	for _, c := range config.Images {
		if c.Problem == "" {
			t.Errorf("%s has no problem", c.Slot())
		}
	}
}

func TestConfigFor_NeedsImageList(t *testing.T) {
	for _, annotations := range []map[string]string{nil, {"update-strategy": "digest"}, {"image-list": " , ,"}} {
		if config, found := ConfigFor(annotated(annotations), nil); found {
			t.Errorf("ConfigFor(%v) found %+v", annotations, config)
		}
	}
}

func TestConfigFor_MergesAllLevels(t *testing.T) {
	updater := &iuv1alpha1.ImageUpdater{
		ObjectMeta: metav1.ObjectMeta{Namespace: "argocd", Name: "all"},
		Spec: iuv1alpha1.ImageUpdaterSpec{
			CommonUpdateSettings: &iuv1alpha1.CommonUpdateSettings{
				UpdateStrategy: new("digest"), ForceUpdate: new(true), AllowTags: new("any"),
				IgnoreTags: []string{"a"}},
			WriteBackConfig:    &iuv1alpha1.WriteBackConfig{Method: new("git")},
			ImagesVerification: &iuv1alpha1.ImagesVerification{},
			ApplicationRefs: []iuv1alpha1.ApplicationRef{{
				NamePattern: "sh?p",
				CommonUpdateSettings: &iuv1alpha1.CommonUpdateSettings{UpdateStrategy: new("name"),
					IgnoreTags: []string{"b"}},
				WriteBackConfig: &iuv1alpha1.WriteBackConfig{},
				Images: []iuv1alpha1.ImageConfig{
					{Alias: "inherits", ImageName: "x:1"},
					{
						Alias: "decides", ImageName: "y:>=1 || 3",
						CommonUpdateSettings: &iuv1alpha1.CommonUpdateSettings{
							UpdateStrategy: new("semver"), ForceUpdate: new(false), AllowTags: new(""),
							IgnoreTags: []string{},
							Platforms:  []string{"linux/arm64"}},
						ImagesVerification: &iuv1alpha1.ImagesVerification{Enabled: new(false)},
						ManifestTargets:    &iuv1alpha1.ManifestTargets{},
					},
					{
						Alias: "torn", ImageName: "z",
						ManifestTargets: &iuv1alpha1.ManifestTargets{
							Kustomize: &iuv1alpha1.KustomizeTarget{Name: new("zz")},
							Plugin:    &iuv1alpha1.PluginTarget{Spec: new("Z")}},
					},
					{
						Alias: "tagless", ImageName: "z",
						ManifestTargets: &iuv1alpha1.ManifestTargets{Plugin: &iuv1alpha1.PluginTarget{Name: new("Z")}},
					},
					{
						Alias: "unnameable", ImageName: "z",
						ManifestTargets: &iuv1alpha1.ManifestTargets{
							Kustomize: &iuv1alpha1.KustomizeTarget{Name: new(" a=b ")}},
					},
					{Alias: "nameless", ImageName: ":1"},
				},
			}},
		},
	}
	got, found := ConfigFor(annotated(map[string]string{"image-list": "ignored"}), parseUpdaters(updater))
	want := Config{
		Origin:    `ImageUpdater all, applications "sh?p"`,
		WriteBack: "git",
		Images: []ImageConfig{
			{Alias: "inherits", Name: "x", Constraint: "1", Strategy: Alphabetical, ForceUpdate: true, AllowTags: "any",
				IgnoreTags: []string{"b"}, Verify: true},
			{Alias: "decides", Name: "y", Constraint: ">=1 || 3", Strategy: Semver},
			{Alias: "torn", Name: "z", Strategy: Alphabetical, ForceUpdate: true, AllowTags: "any",
				IgnoreTags: []string{"b"},
				Verify:     true, Target: ManifestTarget{SourceType: "Kustomize", Name: "zz"},
				Problem: "it has more than one target; choose one of Kustomize, Helm and plugin"},
			{Alias: "tagless", Name: "z", Strategy: Alphabetical, ForceUpdate: true, AllowTags: "any",
				IgnoreTags: []string{"b"},
				Verify:     true, Target: ManifestTarget{SourceType: "Plugin", Name: "Z"},
				Problem: "its plugin target names no variable for the tag; set spec, or name and tag"},
			{Alias: "unnameable", Name: "z", Strategy: Alphabetical, ForceUpdate: true, AllowTags: "any",
				IgnoreTags: []string{"b"},
				Verify:     true, Target: ManifestTarget{SourceType: "Kustomize", Name: "a=b"},
				Problem: `its Kustomize target is "a=b", which cannot be the name of an image`},
		},
		Notes: []string{
			"decides: platforms linux/arm64 are not checked: a push does not say which platforms it was built for",
			`nameless: "" is not the name of an image: invalid reference format`,
		},
	}
	if !found {
		t.Error("no configuration was found")
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("ConfigFor() differs (-want +got):\n%s", diff)
	}
	repositories := []string{"docker.io/library/x", "docker.io/library/y", "docker.io/library/z"}
	if diff := cmp.Diff(repositories, got.Repositories()); diff != "" {
		t.Errorf("Repositories() differs (-want +got):\n%s", diff)
	}
}

func TestConfigFor_KeepsVerification(t *testing.T) {
	updater := selecting("a", iuv1alpha1.ApplicationRef{NamePattern: "*", UseAnnotations: new(true)})
	updater.Spec.CommonUpdateSettings = &iuv1alpha1.CommonUpdateSettings{UpdateStrategy: new("digest")}
	updater.Spec.ImagesVerification = &iuv1alpha1.ImagesVerification{}
	app := annotated(map[string]string{"image-list": "x"})
	got, _ := ConfigFor(app, parseUpdaters(updater))
	want := Config{
		Origin: `ImageUpdater a, applications "*", by annotations`,
		Images: []ImageConfig{{Name: "x", Strategy: Semver, Verify: true}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("ConfigFor() differs (-want +got):\n%s", diff)
	}
}

func TestConfigFor_ImageListKeepsConstraintsWhole(t *testing.T) {
	for list, want := range map[string][]ImageConfig{
		"a=app:>=1.0.0, <2.0.0":          {{Alias: "a", Name: "app", Constraint: ">=1.0.0, <2.0.0"}},
		"app:>=1.0.0,!=1.5.0 , <=2, b=x": {{Name: "app", Constraint: ">=1.0.0,!=1.5.0 , <=2"}, {Alias: "b", Name: "x"}},
		"app:>1, =1.2.3":                 {{Name: "app", Constraint: ">1, =1.2.3"}},
		"app:^1, 1.2 - 1.4 || ~3":        {{Name: "app", Constraint: "^1, 1.2 - 1.4 || ~3"}},
		"app:1.x,1.5.x":                  {{Name: "app", Constraint: "1.x,1.5.x"}},
		"app:>=v1-0,v2.0.0-rc.1":         {{Name: "app", Constraint: ">=v1-0,v2.0.0-rc.1"}},
		"app:1,389ds/dirsrv,7zip:1": {{Name: "app", Constraint: "1"}, {Name: "389ds/dirsrv"},
			{Name: "7zip", Constraint: "1"}},
		"x,=y:1,z,": {{Name: "x"}, {Name: "y", Constraint: "1"}, {Name: "z"}},
		"app, >=1.2": {{Name: "app", Constraint: ", >=1.2",
			Problem: `its constraint ", >=1.2" must follow the name and a colon`}},
		"<2, app:1":    {{Name: "app", Constraint: "1"}},
		"a=app,,b=app": {{Alias: "a", Name: "app"}, {Alias: "b", Name: "app"}},
	} {
		got, _ := ConfigFor(annotated(map[string]string{"image-list": list}), nil)
		for i := range want {
			want[i].Strategy = Semver
		}
		if diff := cmp.Diff(want, got.Images, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("ConfigFor(%s) differs (-want +got):\n%s", list, diff)
		}
	}
}

func TestConfigForImage_KeepsPlacesOfOthers(t *testing.T) {
	app := annotated(map[string]string{
		"image-list": "a=app:1.x, b=acme/app, c=x:2.x, d=y, UPPER", "a.helm.image-tag": "a.tag",
		"b.helm.image-tag": "b.tag", "c.helm.image-tag": "c.tag", "c.force-update": "true", "force-update": "false",
		"d.force-update": "perhaps",
	})
	helm := func(tag string) ManifestTarget { return ManifestTarget{SourceType: "Helm", Tag: tag} }
	want := []ImageConfig{
		{Alias: "c", Name: "x", Constraint: "2.x", Target: helm("c.tag"), ForceUpdate: true},
		{Alias: "d", Name: "y", Problem: `its force-update is "perhaps"; it must be true or false`},
		{Alias: "b", Name: "acme/app", Strategy: Semver, Target: helm("b.tag")},
	}
	got, _ := ConfigForImage(app, nil, Image{Name: "app", Tag: "1.0.0"})
	if diff := cmp.Diff(want, got.Others, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the others differ (-want +got):\n%s", diff)
	}
	if len(got.Images) != 1 || got.Images[0].Alias != "a" {
		t.Errorf("the images are %+v", got.Images)
	}
}

func TestConfig_SplitImageList(t *testing.T) {
	for list, want := range map[string][]string{
		"":                              nil,
		" , ,":                          nil,
		"web":                           {"web"},
		" a=web:1.x ,b=api":             {"a=web:1.x", "b=api"},
		"web:>=1.0.0, <2.0.0, api":      {"web:>=1.0.0, <2.0.0", "api"},
		"web:1,2,3":                     {"web:1,2,3"},
		", 1, web":                      {"1", "web"},
		"web:>=1, , <2":                 {"web:>=1", "<2"},
		"a:1" + strings.Repeat(",1", 9): {"a:1" + strings.Repeat(",1", 9)},
	} {
		if got := slices.Collect(splitImageList(list)); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", list, got, want)
		}
	}
}

// The cost must be linear: the list is of a tenant, and is read for all.
func BenchmarkConfig_SplitImageList(b *testing.B) {
	list := "b," + strings.Repeat(" ", 128<<10) + "a:1" + strings.Repeat(",1", 62<<10)
	for b.Loop() {
		for range splitImageList(list) {
		}
	}
}
