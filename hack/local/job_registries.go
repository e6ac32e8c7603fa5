// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"net/http"
	"strings"
)

// dockerHubPush has the fields of Docker Hub's webhook that matter, and a few more:
// https://docs.docker.com/docker-hub/repos/manage/webhooks/
//
//go:embed samples/docker-hub-push.json
var dockerHubPush string

// harborPush is the same of Harbor's: https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/
//
//go:embed samples/harbor-push.json
var harborPush string

func (p *play) dockerHubPushes(ctx context.Context) error {
	p.title("An image is pushed to Docker Hub")
	p.say("The webhook names no object: it goes to every one in the namespace that wants the image. Application cart wants")
	p.say("versions 1.x of it, by the annotations of Argo CD Image Updater. Docker Hub can show a secret only in the URL.")
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

func (p *play) harborPushes(ctx context.Context) error {
	p.title("An image is pushed to Harbor")
	p.say("Harbor shows the token of a ServiceAccount that may deliver as Harbor and do nothing else. Application till is a")
	p.say("chart, and its owner says which parameters set the image. Application cart does not want this image.")
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
	return p.show(ctx, "after", cart, fields{"postern.dev/requested-by": "docker.io", kustomizeImages: "example/cart:1.4.0"})
}
