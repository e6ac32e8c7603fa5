// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/apis/postern/v1alpha1"
)

var imageUpdaters = schema.GroupVersionResource{
	Group: "argocd-image-updater.argoproj.io", Version: "v1alpha1", Resource: "imageupdaters",
}

// fleetImage is an image that Applications of a fleet run.
type fleetImage struct {
	slug string // used in the names of Applications
	// configured is the name in configurations, and full the name that Postern reports; they differ for Docker Hub.
	configured, full string
}

func imageAt(slug, name string) fleetImage { return fleetImage{slug, name, name} }

// fleetKind is a kind of Application. In its YAML, IMAGE stands for the configured image, and ELSEWHERE for the same
// repository in another registry.
type fleetKind struct {
	name string
	// annotations are Image Updater's, without their prefix.
	annotations map[string]string
	// updater is the spec of an ImageUpdater object. APP stands for the name of the Application.
	updater string
	// sources and status are fields of the Application's spec and status.
	sources, status string

	// result is the result of a push, with the reason if it is unique; empty if the push does not match.
	result v1alpha1.TargetResultType
	reason string
	// update makes the expected changes of the spec; nil if there are none.
	update func(spec map[string]any, image, tag string)
}

const (
	runsKustomize = "sourceType: Kustomize, summary: {images: ['ELSEWHERE:9.9.9', 'IMAGE:1.0.0']}"
	runsHelm      = "sourceType: Helm, summary: {images: ['IMAGE:1.0.0']}"
	plainSource   = "source: {repoURL: 'https://github.com/example/shop.git', path: deploy, targetRevision: main}"
)

// fleetKinds are the kinds that exist for each image.
var fleetKinds = []fleetKind{
	{
		name: "helm", status: runsHelm,
		annotations: map[string]string{
			"image-list": "shop=IMAGE", "shop.helm.image-name": "image.repository", "shop.helm.image-tag": "image.tag",
		},
		sources: "source: {repoURL: 'https://charts.example.com', chart: shop, targetRevision: 3.1.0, " +
			"helm: {releaseName: shop, parameters: [{name: replicas, value: '2'}]}}",
		result: v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			helm := member(member(spec, "source"), "helm")
			setByName(helm, "parameters", map[string]any{"name": "image.repository", "value": image,
				"forceString": true})
			setByName(helm, "parameters", map[string]any{"name": "image.tag", "value": tag, "forceString": true})
		},
	},
	{
		name: "helm-without-parameters", status: runsHelm,
		annotations: map[string]string{"image-list": "IMAGE:~1"}, sources: plainSource,
		result: v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			helm := member(member(spec, "source"), "helm")
			setByName(helm, "parameters", map[string]any{"name": "image.name", "value": image, "forceString": true})
			setByName(helm, "parameters", map[string]any{"name": "image.tag", "value": tag, "forceString": true})
		},
	},
	{
		name: "kustomize", status: runsKustomize,
		annotations: map[string]string{"image-list": "IMAGE, ELSEWHERE"},
		sources: "source: {repoURL: 'https://github.com/example/shop.git', path: deploy, " +
			"kustomize: {namePrefix: a-, images: ['ELSEWHERE:9.9.9', 'IMAGE:1.0.0', 'redis:7']}}",
		result: v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			member(member(spec, "source"), "kustomize")["images"].([]any)[1] = image + ":" + tag
		},
	},
	{
		name: "kustomize-renamed", status: "sourceType: Kustomize, summary: {images: ['IMAGE:1.0.0']}",
		annotations: map[string]string{"image-list": "shop=IMAGE", "shop.kustomize.image-name": "shop"},
		sources:     "source: {repoURL: 'https://github.com/example/shop.git', path: deploy, kustomize: {}}",
		result:      v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			member(member(spec, "source"), "kustomize")["images"] = []any{"shop=" + image + ":" + tag}
		},
	},
	{
		name: "plugin", status: "sourceType: Plugin, summary: {images: ['IMAGE:1.0.0']}",
		updater: "applicationRefs: [{namePattern: APP, images: [{alias: shop, imageName: IMAGE, " +
			"manifestTargets: {plugin: {name: NAME, tag: TAG}}}]}]",
		sources: "source: {repoURL: 'https://github.com/example/shop.git', path: deploy, plugin: {env: [{name: TAG, " +
			"value: 1.0.0}]}}",
		result: v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			plugin := member(member(spec, "source"), "plugin")
			setByName(plugin, "env", map[string]any{"name": "NAME", "value": image})
			setByName(plugin, "env", map[string]any{"name": "TAG", "value": tag})
		},
	},
	{
		name: "several-sources", status: "sourceTypes: [Directory, Helm], summary: {images: ['IMAGE:1.0.0']}",
		annotations: map[string]string{"image-list": "shop=IMAGE", "shop.helm.image-spec": "image"},
		sources: "sources: [{repoURL: 'https://github.com/example/values.git', ref: values}, " +
			"{repoURL: 'https://charts.example.com', chart: shop, targetRevision: 3.1.0, helm: {valueFiles: " +
			"[$values/a.yaml]}}]",
		result: v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			helm := member(spec["sources"].([]any)[1].(map[string]any), "helm")
			setByName(helm, "parameters", map[string]any{"name": "image", "value": image + ":" + tag,
				"forceString": true})
		},
	},
	{
		name: "by-pattern", status: runsHelm, sources: plainSource,
		updater: "applicationRefs: [{namePattern: '*-by-pat?ern', images: [{alias: other, imageName: ELSEWHERE}]}, " +
			"{namePattern: 'APP*', images: [{alias: shop, imageName: 'IMAGE:1.x', " +
			"manifestTargets: {helm: {name: image.repository, tag: image.tag}}}]}]",
		result: v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			helm := member(member(spec, "source"), "helm")
			setByName(helm, "parameters", map[string]any{"name": "image.repository", "value": image,
				"forceString": true})
			setByName(helm, "parameters", map[string]any{"name": "image.tag", "value": tag, "forceString": true})
		},
	},
	{
		name: "by-label", status: runsKustomize, sources: plainSource,
		updater: "applicationRefs: [{namePattern: '*', labelSelectors: {matchLabels: {app: APP}}, " +
			"images: [{alias: shop, imageName: IMAGE, commonUpdateSettings: {updateStrategy: newest-build}}]}]",
		result: v1alpha1.TargetWritten, reason: "NewestBuild",
		update: func(spec map[string]any, image, tag string) {
			member(member(spec, "source"), "kustomize")["images"] = []any{image + ":" + tag}
		},
	},
	{ // only the annotations are used
		name: "asking-annotations", status: runsHelm, sources: plainSource,
		annotations: map[string]string{"image-list": "shop=IMAGE", "shop.helm.image-spec": "image"},
		updater: "commonUpdateSettings: {allowTags: 'regexp:^$'}, writeBackConfig: {method: git}, applicationRefs: " +
			"[{namePattern: APP, " +
			"useAnnotations: true, commonUpdateSettings: {updateStrategy: digest}, images: [{alias: shop, imageName: " +
			"ELSEWHERE}]}]",
		result: v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			helm := member(member(spec, "source"), "helm")
			setByName(helm, "parameters", map[string]any{"name": "image", "value": image + ":" + tag,
				"forceString": true})
		},
	},
	{
		name: "asking-in-vain", status: runsHelm, sources: plainSource,
		updater: "applicationRefs: [{namePattern: APP, useAnnotations: true, images: [{alias: shop, imageName: " +
			"IMAGE}]}]",
	},
	{ // without annotations, the less specific reference is used
		name: "falling-back", status: runsKustomize, sources: plainSource,
		updater: "applicationRefs: [{namePattern: APP, useAnnotations: true}, {namePattern: 'APP*', images: [{alias: " +
			"shop, imageName: IMAGE}]}]",
		result: v1alpha1.TargetWritten, reason: "NewerVersion",
		update: func(spec map[string]any, image, tag string) {
			member(member(spec, "source"), "kustomize")["images"] = []any{image + ":" + tag}
		},
	},
	{ // the object overrules the annotations
		name: "overruled", status: runsHelm, sources: plainSource,
		annotations: map[string]string{"image-list": "IMAGE"},
		updater:     "applicationRefs: [{namePattern: APP, images: [{alias: shop, imageName: ELSEWHERE}]}]",
	},
	{
		name: "forced", status: "sourceType: Helm", sources: plainSource,
		annotations: map[string]string{"image-list": "shop=IMAGE", "shop.force-update": "true"},
		result:      v1alpha1.TargetWritten,
		update: func(spec map[string]any, image, tag string) {
			helm := member(member(spec, "source"), "helm")
			setByName(helm, "parameters", map[string]any{"name": "image.name", "value": image, "forceString": true})
			setByName(helm, "parameters", map[string]any{"name": "image.tag", "value": tag, "forceString": true})
		},
	},
	{
		name: "git-write-back", status: runsKustomize, sources: plainSource,
		annotations: map[string]string{"image-list": "IMAGE", "write-back-method": "git:secret:argocd/git"},
		result:      v1alpha1.TargetWritten, reason: "GitWriteBack",
	},
	{
		name: "constrained", status: runsHelm, sources: plainSource,
		annotations: map[string]string{"image-list": "IMAGE:<1.2"},
		result:      v1alpha1.TargetSkipped, reason: "ConstraintNotMet",
	},
	{
		name: "ignoring", status: runsHelm, sources: plainSource,
		annotations: map[string]string{"image-list": "shop=IMAGE", "shop.ignore-tags": "[v1]*"},
		result:      v1alpha1.TargetSkipped, reason: "TagIgnored",
	},
	{
		name: "following-a-tag", status: runsHelm, sources: plainSource,
		annotations: map[string]string{"image-list": "shop=IMAGE:stable", "shop.update-strategy": "digest"},
		result:      v1alpha1.TargetSkipped, reason: "TagNotFollowed",
	},
	{
		name: "ahead", status: "sourceType: Helm, summary: {images: ['IMAGE:9.0.0']}", sources: plainSource,
		annotations: map[string]string{"image-list": "IMAGE"},
		result:      v1alpha1.TargetSkipped, reason: "OlderVersion",
	},
	{
		name: "not-running-it", status: "sourceType: Helm, summary: {images: ['ELSEWHERE:1.0.0']}",
		sources:     plainSource,
		annotations: map[string]string{"image-list": "IMAGE"},
		result:      v1alpha1.TargetSkipped, reason: "NotInUse",
	},
	{
		name: "other-registry", status: "sourceType: Helm, summary: {images: ['ELSEWHERE:1.0.0', 'IMAGE:1.0.0']}",
		sources:     plainSource,
		annotations: map[string]string{"image-list": "ELSEWHERE"},
	},
	{name: "without-configuration", status: runsKustomize, sources: plainSource},
}
