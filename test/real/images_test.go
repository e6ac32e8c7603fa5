// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"testing"
	"time"
)

const (
	byDockerHub = "webhooksources/docker.io/webhookdeliveries"
	imageList   = `argocd-image-updater.argoproj.io/image-list: shop=example/shop`
)

// pushImage reports a pushed image as Docker Hub does, and returns when Postern has answered.
func (w *world) pushImage(tag string) time.Time {
	w.T.Helper()
	d, answered := w.post(w.ci(), byDockerHub, `{"push_data": {"tag": "`+tag+`", "pushed_at": 1769851800},
		"repository": {"repo_name": "example/shop"}}`, nil)
	mustBeApplied(w.T, d)
	return answered
}

func TestArgoCD_KustomizeImage(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: image override, Kustomize")
	r := w.newRepository("shop", map[string]string{
		"kustomization.yaml": "resources: [deployment.yaml]\n",
		"deployment.yaml":    deployment("shop", "example/shop:1.4.0"),
	})
	w.Create(applications, w.application("shop", source(r, ""), imageList))
	commit := r.git("rev-parse", "HEAD")
	w.waitSynced("shop", commit)
	w.waitRunning("shop", "example/shop:1.4.0")

	answered := w.pushImage("1.4.1")

	w.waitImage("shop", "example/shop:1.4.1")
	reacted(answered)
	w.waitSynced("shop", commit)
}

func TestArgoCD_HelmImage(t *testing.T) {
	shared.needsArgoCD(t)
	w := newWorld(t)
	reacted := scenario(t, "Argo CD: image override, Helm")
	r := w.newRepository("shop", map[string]string{
		"Chart.yaml":                "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
		"values.yaml":               "image: {name: example/shop, tag: 1.4.0}\n",
		"templates/deployment.yaml": deployment("shop", "{{ .Values.image.name }}:{{ .Values.image.tag }}"),
	})
	w.Create(applications, w.application("shop", source(r, ""), imageList))
	commit := r.git("rev-parse", "HEAD")
	w.waitSynced("shop", commit)
	w.waitRunning("shop", "example/shop:1.4.0")

	answered := w.pushImage("1.4.1")

	w.waitImage("shop", "example/shop:1.4.1")
	reacted(answered)
	w.waitSynced("shop", commit)
}
