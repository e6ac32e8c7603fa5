// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/pkg/imageupdate"
)

// ignoreMessage ignores the message for users.
var ignoreMessage = cmp.Options{cmpopts.IgnoreFields(Result{}, "Message")}

// imageOverrides are pushed images that are written.
var imageOverrides = []struct {
	name string
	imageCase
	wantPatch  string // the part about the spec
	wantSpec   string
	want       []Change // in addition to the annotation
	wantReason string   // NewerVersion if empty
}{
	{
		name: "kustomize is not there",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Kustomize",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"project": "p", "source": {"repoURL": "https://git.acme.io/shop", "path": "deploy"}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/kustomize", "value": null},
			{"op": "add", "path": "/spec/source/kustomize", "value": {"images": ["nginx:1.26"]}}]`,
		wantSpec: `{"project": "p", "source": {"repoURL": "https://git.acme.io/shop", "path": "deploy", "kustomize": ` +
			`{"images": ["nginx:1.26"]}}}`,
		want: []Change{{Field: "spec.source.kustomize.images", New: "nginx:1.26"}},
	},
	{
		name: "kustomize is null",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Kustomize",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": null}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/kustomize", "value": null},
			{"op": "add", "path": "/spec/source/kustomize", "value": {"images": ["nginx:1.26"]}}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ["nginx:1.26"]}}}`,
		want:     []Change{{Field: "spec.source.kustomize.images", New: "nginx:1.26"}},
	},
	{
		name: "kustomize has no images",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Kustomize",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"namePrefix": "x-"}}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/kustomize/images", "value": null},
			{"op": "add", "path": "/spec/source/kustomize/images", "value": ["nginx:1.26"]}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"namePrefix": "x-", "images": ` +
			`["nginx:1.26"]}}}`,
		want: []Change{{Field: "spec.source.kustomize.images", New: "nginx:1.26"}},
	},
	{
		name: "the images are null",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Kustomize",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": null}}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/kustomize/images", "value": null},
			{"op": "add", "path": "/spec/source/kustomize/images", "value": ["nginx:1.26"]}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ["nginx:1.26"]}}}`,
		want:     []Change{{Field: "spec.source.kustomize.images", New: "nginx:1.26"}},
	},
	{
		name: "the list of images is empty",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Kustomize",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": []}}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/kustomize/images", "value": []},
			{"op": "add", "path": "/spec/source/kustomize/images", "value": ["nginx:1.26"]}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ["nginx:1.26"]}}}`,
		want:     []Change{{Field: "spec.source.kustomize.images", New: "nginx:1.26"}},
	},
	{
		name: "an entry is replaced",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Kustomize",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ["redis:7", ` +
				`"nginx:1.25", ""]}}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/kustomize/images", "value": ["redis:7", "nginx:1.25", ""]},
			{"op": "replace", "path": "/spec/source/kustomize/images/1", "value": "nginx:1.26"}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ["redis:7", ` +
			`"nginx:1.26", ""]}}}`,
		want: []Change{{Field: "spec.source.kustomize.images", Old: "nginx:1.25", New: "nginx:1.26"}},
	},
	{
		name: "an entry is appended",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Kustomize",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ["a&b<c>"]}}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/kustomize/images", "value": ["a&b<c>"]},
			{"op": "add", "path": "/spec/source/kustomize/images/-", "value": "nginx:1.26"}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ["a&b<c>", ` +
			`"nginx:1.26"]}}}`,
		want: []Change{{Field: "spec.source.kustomize.images", New: "nginx:1.26"}},
	},
	{
		name: "an entry replaces another image by the image, and its digest is pinned",
		imageCase: imageCase{
			annotations: []string{"image-list: web=ghcr.io/acme/web:main", "web.update-strategy: digest",
				"web.kustomize.image-name: quay.io/acme/web"},
			tool: "Kustomize", runs: []string{"ghcr.io/acme/web:main"}, pushed: "ghcr.io/acme/web:main@" + newDigest,
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ` +
				`["quay.io/acme/web=ghcr.io/acme/web:main"]}}}`,
		},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/kustomize/images", "value":
				["quay.io/acme/web=ghcr.io/acme/web:main"]},
			{"op": "replace", "path": "/spec/source/kustomize/images/0",
				"value": "quay.io/acme/web=ghcr.io/acme/web:main@` + newDigest + `"}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images": ` +
			`["quay.io/acme/web=ghcr.io/acme/web:main@` + newDigest + `"]}}}`,
		want: []Change{{Field: "spec.source.kustomize.images",
			Old: "quay.io/acme/web=ghcr.io/acme/web:main", New: "quay.io/acme/web=ghcr.io/acme/web:main@" + newDigest}},
		wantReason: imageupdate.ReasonNewDigest,
	},
	{
		name: "helm has no parameters",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Helm", runs: []string{"nginx:1.25"},
			pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "helm": {"valuesObject": {"image": {"tag": ` +
				`"1.25"}}}}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/helm/parameters", "value": null},
			{"op": "add", "path": "/spec/source/helm/parameters", "value": [
				{"name": "image.name", "value": "nginx", "forceString": true}, {"name": "image.tag", "value": "1.26",
					"forceString": true}]}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "helm": {"valuesObject": {"image":
			{"tag": "1.25"}}, "parameters": [
			{"name": "image.name", "value": "nginx", "forceString": true}, {"name": "image.tag", "value": "1.26",
				"forceString": true}]}}}`,
		want: []Change{{Field: "spec.source.helm.parameters", New: "image.name=nginx"},
			{Field: "spec.source.helm.parameters", New: "image.tag=1.26"}},
	},
	{
		name: "a parameter is replaced that is not a string, a string stays, and one has no value",
		imageCase: imageCase{
			annotations: []string{"image-list: web=nginx", "web.helm.image-name: web.image",
				"web.helm.image-tag: web.tag"},
			tool: "Helm", runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "helm": {"parameters": [
				{"name": "replicas", "value": "", "forceString": false}, {"name": "web.tag", "value": "1.25",
					"forceString": false}, {"name": "web.image"}]}}}`,
		},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/helm/parameters", "value": [{"forceString": false, "name": "replicas",
				"value": ""},
				{"forceString": false, "name": "web.tag", "value": "1.25"}, {"name": "web.image"}]},
			{"op": "replace", "path": "/spec/source/helm/parameters/1", "value": {"name": "web.tag", "value": "1.26",
				"forceString": true}},
			{"op": "replace", "path": "/spec/source/helm/parameters/2", "value": {"name": "web.image", "value": "nginx",
				"forceString": true}}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "helm": {"parameters": [
			{"name": "replicas", "value": "", "forceString": false}, {"name": "web.tag", "value": "1.26",
				"forceString": true},
			{"name": "web.image", "value": "nginx", "forceString": true}]}}}`,
		want: []Change{{Field: "spec.source.helm.parameters", Old: "web.tag=1.25", New: "web.tag=1.26"},
			{Field: "spec.source.helm.parameters", Old: "web.image", New: "web.image=nginx"}},
	},
	{
		name: "members of parameters that our types do not know, or lose, stay",
		imageCase: imageCase{
			annotations: []string{"image-list: web=nginx", "web.helm.image-spec: web"},
			tool:        "Helm", runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "helm": {"parameters": [
				{"name": "", "value": null, "weight": 1000}, {"value": "no name", "forceString": null}]}}}`,
		},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/helm/parameters", "value": [
				{"name": "", "value": null, "weight": 1000}, {"forceString": null, "value": "no name"}]},
			{"op": "add", "path": "/spec/source/helm/parameters/-", "value": {"name": "web", "value": "nginx:1.26",
				"forceString": true}}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "helm": {"parameters": [
			{"name": "", "value": null, "weight": 1000}, {"value": "no name", "forceString": null},
			{"name": "web", "value": "nginx:1.26", "forceString": true}]}}}`,
		want: []Change{{Field: "spec.source.helm.parameters", New: "web=nginx:1.26"}},
	},
	{
		name: "a plugin's variable is replaced and another appended",
		imageCase: imageCase{
			updater: `applicationRefs: [{namePattern: shop, images: [{alias: web, imageName: nginx, manifestTargets: ` +
				`{plugin: {name: NAME, tag: TAG}}}]}]`,
			tool: "Plugin", runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "plugin": {"name": "p", "env": [{"name": ` +
				`"TAG", "value": ""}, {"name": "X", "value": "y"}]}}}`,
		},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/plugin/env", "value": [{"name": "TAG", "value": ""}, {"name": "X",
				"value": "y"}]},
			{"op": "replace", "path": "/spec/source/plugin/env/0", "value": {"name": "TAG", "value": "1.26"}},
			{"op": "add", "path": "/spec/source/plugin/env/-", "value": {"name": "NAME", "value": "nginx"}}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "plugin": {"name": "p", "env": [
			{"name": "TAG", "value": "1.26"}, {"name": "X", "value": "y"}, {"name": "NAME", "value": "nginx"}]}}}`,
		want: []Change{{Field: "spec.source.plugin.env", Old: "TAG=", New: "TAG=1.26"},
			{Field: "spec.source.plugin.env", New: "NAME=nginx"}},
	},
	{
		name: "of several sources only the matching one is written, and only its tag if its name matches already",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Directory Helm Helm",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://unused.acme.io", "helm": {"parameters": []}}, "sources": [
				{"repoURL": "https://git.acme.io/values", "ref": "values"}, {"repoURL": "https://charts.acme.io",
					"chart": "base"},
				{"repoURL": "https://charts.acme.io", "chart": "shop", "helm": {"parameters": [
					{"name": "image.name", "value": "nginx"}, {"name": "image.tag", "value": "1.25",
						"forceString": true}]}}]}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/sources/2/helm/parameters", "value": [
				{"name": "image.name", "value": "nginx"}, {"forceString": true, "name": "image.tag", "value": "1.25"}]},
			{"op": "replace", "path": "/spec/sources/2/helm/parameters/0", "value": {"name": "image.name",
				"value": "nginx", "forceString": true}},
			{"op": "replace", "path": "/spec/sources/2/helm/parameters/1", "value": {"name": "image.tag",
				"value": "1.26", "forceString": true}}]`,
		wantSpec: `{"source": {"repoURL": "https://unused.acme.io", "helm": {"parameters": []}}, "sources": [
			{"repoURL": "https://git.acme.io/values", "ref": "values"}, {"repoURL": "https://charts.acme.io",
				"chart": "base"},
			{"repoURL": "https://charts.acme.io", "chart": "shop", "helm": {"parameters": [
				{"name": "image.name", "value": "nginx", "forceString": true}, {"name": "image.tag", "value": "1.26",
					"forceString": true}]}}]}`,
		want: []Change{{Field: "spec.sources[2].helm.parameters", Old: "image.tag=1.25", New: "image.tag=1.26"}},
	},
	{
		name: "the dry source of a hydrator",
		imageCase: imageCase{annotations: []string{"image-list: nginx"}, tool: "Directory",
			runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"sourceHydrator": {"drySource": {"repoURL": "https://git.acme.io/shop", "kustomize": {}}, ` +
				`"syncSource": {"targetBranch": "b"}}}`},
		wantPatch: `[
			{"op": "test", "path": "/spec/sourceHydrator/drySource/kustomize/images", "value": null},
			{"op": "add", "path": "/spec/sourceHydrator/drySource/kustomize/images", "value": ["nginx:1.26"]}]`,
		wantSpec: `{"sourceHydrator": {"drySource": {"repoURL": "https://git.acme.io/shop", "kustomize": {"images":
			["nginx:1.26"]}},
			"syncSource": {"targetBranch": "b"}}}`,
		want: []Change{{Field: "spec.sourceHydrator.drySource.kustomize.images", New: "nginx:1.26"}},
	},
	{
		name: "one image in two places, one of which does not want it",
		imageCase: imageCase{
			annotations: []string{"image-list: old=nginx:~1.25, new=nginx", "old.helm.image-spec: old",
				"new.helm.image-spec: new"},
			tool: "Helm", runs: []string{"nginx:1.25"}, pushed: "nginx:1.26",
			spec: `{"source": {"repoURL": "https://git.acme.io/shop", "helm": {"parameters": [{"name": "old", ` +
				`"value": "nginx:1.25"}]}}}`,
		},
		wantPatch: `[
			{"op": "test", "path": "/spec/source/helm/parameters", "value": [{"name": "old", "value": "nginx:1.25"}]},
			{"op": "add", "path": "/spec/source/helm/parameters/-", "value": {"name": "new", "value": "nginx:1.26",
				"forceString": true}}]`,
		wantSpec: `{"source": {"repoURL": "https://git.acme.io/shop", "helm": {"parameters": [
			{"name": "old", "value": "nginx:1.25"}, {"name": "new", "value": "nginx:1.26", "forceString": true}]}}}`,
		want: []Change{{Field: "spec.source.helm.parameters", New: "new=nginx:1.26"}},
	},
}
