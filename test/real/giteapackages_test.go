// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// host returns the host of Gitea's registry.
func (g *giteaServer) host() string { return strings.TrimPrefix(g.url, "http://") }

// login lets the tools push to Gitea's registry.
func (g *giteaServer) login() {
	g.T.Helper()
	g.run("bin/senders/crane", "auth", "login", g.host(), "--username="+giteaUser, "--password="+giteaPassword)
}

// pushImage pushes an image with one layer, whose content is the text, and returns its reference.
func (g *giteaServer) pushImage(tag string, text ...string) (image string) {
	g.T.Helper()
	image = g.host() + "/ada/shop:" + tag
	writeFile(g.T, g.dir, "layer", strings.Join(text, ""))
	g.run("tar", "-cf", "layer.tar", "layer")
	g.run("bin/senders/crane", "append", "-f", "layer.tar", "-t", image)
	return image
}

// addPackageWebhook adds a webhook for the packages of ada.
func (g *giteaServer) addPackageWebhook(secret, authorization string) {
	g.T.Helper()
	g.call(http.MethodPost, "/user/hooks", map[string]any{
		"type": "gitea", "active": true, "authorization_header": authorization, "events": []string{"package"},
		"config": map[string]string{
			"url": g.Address() + testcluster.NamespacePath(g.Namespace) +
				"webhooksources/gitea-packages/webhookdeliveries",
			"content_type": "json", "secret": secret,
		},
	})
}

func TestGitea_Packages(t *testing.T) {
	for _, authentication := range []string{"token", "signature"} {
		t.Run(authentication, func(t *testing.T) {
			reacted := scenario(t, "Gitea: an image to an Application's override, by "+authentication)
			g := newGitea(t)
			shop := g.host() + "/ada/shop"
			g.runningShop("shop", shop+":1.4.0", map[string]string{
				"argocd-image-updater.argoproj.io/image-list": "shop=" + shop + ":~1",
			})
			secret, header := "", ""
			if authentication == "token" {
				header = "Bearer " + g.tokenFor("webhooksources", "gitea-packages")
			} else {
				secret = "a-secret-of-the-packages"
				g.SetWebhookSecrets(map[string]string{"webhook.gitea-packages-secret": secret})
				g.Grant(testcluster.Unauthenticated, "create", "webhooksources/webhookdeliveries", "gitea-packages")
			}
			g.addPackageWebhook(secret, header)
			g.playPackages(shop, reacted)
		})
	}
}

// playPackages does in Gitea's registry what users do, and checks what is requested.
func (g *giteaServer) playPackages(shop string, reacted func(time.Time)) {
	g.T.Helper()
	g.login()
	g.pushImage("1.4.1")
	pushed := time.Now()
	g.waitOverride("shop", shop+":1.4.1", g.program.LogTail)
	reacted(pushed)

	amd, arm := g.pushImage("1.5.0-amd64", "amd64"), g.pushImage("1.5.0-arm64", "arm64")
	g.run("bin/senders/crane", "index", "append", "-m", amd, "-m", arm, "-t", shop+":1.5.0")
	g.waitOverride("shop", shop+":1.5.0", g.program.LogTail)
	g.run("bin/senders/crane", "copy", shop+":1.5.0", g.host()+"/ada/cart:1.5.0") // the parts by their digests
	g.waitRecord(v1alpha1.DeliveryIgnored, "DigestOnly")

	g.pushImage("1.6.0-RC1", "pre-release") // in lower case in Gitea
	g.pushImage("1.5.0", "moved")

	g.call(http.MethodDelete, "/packages/ada/container/shop/1.4.1", nil)
	g.waitRecord(v1alpha1.DeliveryIgnored, "RefDeleted")
	g.upload("/api/packages/ada/generic/lamp/1.0/lamp.txt", "a lamp")
	g.waitRecord(v1alpha1.DeliveryIgnored, "NotAnImage")

	g.checkRequests("package.created ada/shop:1.4.1", "package.created ada/shop:1.5.0-amd64",
		"package.created ada/shop:1.5.0-arm64", "package.created ada/shop:1.5.0", "package.created ada/cart:1.5.0",
		"package.created ada/shop:1.6.0-rc1")
	if n := g.requested("ada/shop", "1.5.0"); n != 2 {
		g.T.Errorf("the tag that was moved was requested %d times, want twice", n)
	}
	g.waitOverride("shop", shop+":1.5.0", g.program.LogTail)
}

// requested returns how many deliveries request a tag.
func (g *giteaServer) requested(repository, tag string) (n int) {
	for _, d := range g.deliveries() {
		for _, e := range d.Spec.Events {
			if e.Image != nil && e.Image.Repository == repository && e.Image.Tag == tag {
				n++
			}
		}
	}
	return n
}

// upload puts a file into a package registry of Gitea.
func (g *giteaServer) upload(path, content string) {
	g.T.Helper()
	req, err := http.NewRequestWithContext(g.T.Context(), http.MethodPut, g.url+path, strings.NewReader(content))
	if err != nil {
		g.T.Fatal(err)
	}
	req.SetBasicAuth(giteaUser, giteaPassword)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.T.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated {
		g.T.Fatalf("%s: %s; %s", path, resp.Status, g.program.LogTail())
	}
}
