// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"net/http"
	"strings"
)

// dockerHubPush has the relevant fields of Docker Hub's webhook, and a few more:
// https://docs.docker.com/docker-hub/repos/manage/webhooks/
//
//go:embed samples/docker-hub-push.json
var dockerHubPush string

// harborPush has the relevant fields of Harbor's webhook:
// https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/
//
//go:embed samples/harbor-push.json
var harborPush string

func (p *demoRun) dockerHubPushes(ctx context.Context) error {
	p.say("The webhook names no object: it is for every object in the namespace that follows the image. Application " +
		"cart")
	p.say("follows versions 1.x, by the annotations of Argo CD Image Updater. Docker Hub can send a secret only in " +
		"the URL.")
	if _, err := p.kubectl(ctx, "get", "webhooksources", "docker.io", "harbor"); err != nil {
		return err
	}
	before := fields{"postern.dev/requested-ref": "", kustomizeImages: ""}
	if err := p.show(ctx, "before", cart, before); err != nil {
		return err
	}
	push := webhook{
		path:        posternPath("webhooksources", "docker.io"),
		querySecret: p.registrySecret,
		header:      http.Header{"Content-Type": {"application/json"}},
		body:        dockerHubPush,
	}
	if err := p.accepted(ctx, push, "QueryToken"); err != nil {
		return err
	}
	return p.show(ctx, "after", cart, fields{
		"postern.dev/requested-ref":  "docker.io/example/cart:1.4.0",
		"postern.dev/requested-by":   "docker.io",
		"argocd.argoproj.io/refresh": "normal",
		kustomizeImages:              "example/cart:1.4.0",
	})
}

func (p *demoRun) harborPushes(ctx context.Context) error {
	p.say("Harbor sends the token of a ServiceAccount that may only deliver as Harbor. Application till is a chart, " +
		"and its")
	p.say("owner has configured which parameters set the image. Application cart does not follow this image.")
	token, err := p.cluster.Kubectl(ctx, "", "create", "token", "harbor", "--namespace="+namespace)
	if err != nil {
		return err
	}
	if err := p.show(ctx, "before", till, fields{"postern.dev/requested-ref": "", helmParameters: ""}); err != nil {
		return err
	}
	push := webhook{
		path: posternPath("webhooksources", "harbor"),
		header: http.Header{
			"Authorization": {"Bearer " + strings.TrimSpace(token)},
			"Content-Type":  {"application/json"},
		},
		body: harborPush,
	}
	if err := p.accepted(ctx, push, "ServiceAccount"); err != nil {
		return err
	}
	after := fields{
		"postern.dev/requested-by": "harbor",
		helmParameters:             "image.repository=harbor.example.com/team/till, image.tag=2.1.0",
	}
	if err := p.show(ctx, "after", till, after); err != nil {
		return err
	}
	return p.show(ctx, "after", cart, fields{"postern.dev/requested-by": "docker.io",
		kustomizeImages: "example/cart:1.4.0"})
}
