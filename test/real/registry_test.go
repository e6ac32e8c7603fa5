// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"strings"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
)

// distributionRegistry is a CNCF Distribution registry that reports to Postern, and the tools that push to it.
type distributionRegistry struct {
	*world
	*tools
	host    string
	program *controlplane.Program
}

// newDistribution runs a registry with the notifications of our example.
func newDistribution(t *testing.T) *distributionRegistry {
	t.Helper()
	needsPrograms(t)
	w := newWorld(t)
	r := &distributionRegistry{world: w, tools: newTools(t), host: "127.0.0.1:" + freePort(t)}
	notifications := replaceEach(t, readRepositoryFile(t, "artifacts/senders/distribution-config.yaml"),
		"https://<kube-apiserver>", w.Address(),
		"namespaces/demo", "namespaces/"+w.Namespace,
		"<token of the ServiceAccount>", w.tokenFor("webhooksources", "distribution"),
		"registry_url=registry.example.com", "registry_url="+r.host,
	)
	config := writeFile(t, r.dir, "config.yml", `
version: 0.1
storage: {inmemory: {}}
http: {addr: "`+r.host+`", secret: test}
`+notifications)
	r.program = w.RunProgram(t, controlplane.ProgramOptions{
		Name: "registry-" + w.Namespace, Path: "bin/senders/registry", Args: []string{"serve", config},
		Env: []string{"SSL_CERT_FILE=" + w.CAFile(), "OTEL_TRACES_EXPORTER=none"},
	})
	_, port, _ := strings.Cut(r.host, ":")
	w.waitForPort(port, r.program)
	return r
}

// pushImage builds an image with one layer for a platform and pushes it.
func (r *distributionRegistry) pushImage(tag, platform string, flags ...string) (image string) {
	r.t.Helper()
	image = r.host + "/team/shop:" + tag
	writeFile(r.t, r.dir, "version", tag+platform)
	r.run("tar", "-cf", "layer.tar", "version")
	r.run("bin/senders/crane", append([]string{"append", "-f", "layer.tar", "-t", image}, flags...)...)
	r.run("bin/senders/crane", "mutate", image, "--set-platform="+platform, "-t", image)
	return image
}

func TestRegistry_Images(t *testing.T) {
	reacted := scenario(t, "distribution: images and an index to an Application's override")
	r := newDistribution(t)
	shop := r.host + "/team/shop"
	r.runningShop("shop", shop+":1.4.0", map[string]string{
		"argocd-image-updater.argoproj.io/image-list": "shop=" + shop + ":~1",
	})

	r.pushImage("1.4.1", "linux/amd64")
	pushed := time.Now()
	r.waitOverride("shop", shop+":1.4.1", r.program.LogTail)
	reacted(pushed)
	r.pushImage("1.4.2", "linux/amd64", "--oci-empty-base")
	r.waitOverride("shop", shop+":1.4.2", r.program.LogTail)

	amd, arm := r.pushImage("1.5.0-amd64", "linux/amd64"), r.pushImage("1.5.0-arm64", "linux/arm64")
	r.run("bin/senders/crane", "index", "append", "-m", amd, "-m", arm, "-t", shop+":1.5.0")
	r.waitOverride("shop", shop+":1.5.0", r.program.LogTail)

	r.checkRequests("push team/shop:1.4.1", "push team/shop:1.4.2", "push team/shop:1.5.0-amd64",
		"push team/shop:1.5.0-arm64", "push team/shop:1.5.0")
}

func TestRegistry_Charts(t *testing.T) {
	reacted := scenario(t, "distribution: a chart that helm pushes, which is no image")
	r := newDistribution(t)
	shop := r.host + "/team/shop"
	r.runningShop("shop", shop+":1.4.0", map[string]string{
		"argocd-image-updater.argoproj.io/image-list": "shop=" + shop + ":~1",
	})
	r.run("bin/tools/helm", "create", "shop")
	r.run("bin/tools/helm", "package", "shop", "--version=1.9.0")
	r.run("bin/tools/helm", "push", "shop-1.9.0.tgz", "oci://"+r.host+"/team", "--plain-http")

	r.pushImage("1.4.1", "linux/amd64")
	pushed := time.Now()
	r.waitOverride("shop", shop+":1.4.1", r.program.LogTail)
	reacted(pushed)
	r.checkRequests("push 1.9.0", "push team/shop:1.4.1") // the chart is requested of its Applications
}
