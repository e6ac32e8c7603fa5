// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	gatewaySyncs = schema.GroupVersionResource{Group: "stoker.io", Version: "v1alpha1", Resource: "gatewaysyncs"}
	applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
)

// target is an object that is delivered to.
type target struct {
	resource schema.GroupVersionResource
	name     string
}

// path is the path to deliver at.
func (g target) path() string { return g.resource.Resource + "/" + g.name + "/webhookdeliveries" }

func (g target) String() string { return g.resource.Resource + "/" + g.name }

// requestedRef is the annotation that holds what was delivered.
func (g target) requestedRef() string {
	if g.resource == gatewaySyncs {
		return "stoker.io/requested-ref"
	}
	return "postern.dev/requested-ref"
}

// manifest is the object before anything was delivered to it.
func (g target) manifest() string {
	if g.resource == gatewaySyncs {
		return fmt.Sprintf(`
apiVersion: stoker.io/v1alpha1
kind: GatewaySync
metadata: {name: %s}
spec:
  git: {repo: "https://github.com/example/plant.git", ref: main}
  gateway: {api: {secretName: key}}
  sync: {profiles: {default: {mappings: [{source: a/, destination: b/}]}}}`, g.name)
	}
	return fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: %s}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  source: {repoURL: "https://github.com/example/shop.git", path: deploy, targetRevision: main}`, g.name)
}

// request is what a sender asks of a target. Each has a ref of its own, so that the target tells which it was.
type request struct {
	target target
	ref    string
	body   string
	header map[string]string
	// event is when what the payload tells of happened; zero if it does not say.
	event time.Time
}

// plain asks by the payload of a CI job, which has no id and no time.
func plain(g target, ref string) request {
	return request{target: g, ref: ref, body: fmt.Sprintf(`{"ref":%q}`, ref)}
}

// release asks by GitHub's event of a release that was published at that time.
func release(g target, ref string, published time.Time) request {
	const format = `{"action":"published","release":{"tag_name":%q,"published_at":%q},` +
		`"repository":{"clone_url":"https://github.com/example/shop.git"}}`
	return request{
		target: g, ref: ref, event: published,
		body: fmt.Sprintf(format, ref, published.UTC().Format(time.RFC3339)),
		header: map[string]string{
			"Content-Type":      "application/json",
			"X-GitHub-Event":    "release",
			"X-GitHub-Delivery": "delivery-of-" + ref,
		},
	}
}
