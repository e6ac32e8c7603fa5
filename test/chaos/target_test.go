// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"postern.dev/postern/test/testcluster"
)

var gatewaySyncs, applications = testcluster.GatewaySyncs, testcluster.Applications

// target is an object to deliver to.
type target struct {
	resource schema.GroupVersionResource
	name     string
}

func (g target) path() string { return g.resource.Resource + "/" + g.name + "/webhookdeliveries" }

func (g target) String() string { return g.resource.Resource + "/" + g.name }

// requestedRef returns the annotation with the requested ref.
func (g target) requestedRef() string {
	if g.resource == gatewaySyncs {
		return "stoker.io/requested-ref"
	}
	return "postern.dev/requested-ref"
}

// manifest returns the object before any delivery.
func (g target) manifest() string {
	if g.resource == gatewaySyncs {
		return testcluster.GatewaySync(g.name)
	}
	return testcluster.Application(g.name)
}

// request is a sender's request for a target. Its ref is unique, so that the target identifies it.
type request struct {
	target target
	ref    string
	body   string
	header map[string]string
	// event is the event time in the payload, zero if there is none.
	event time.Time
}

// plain returns a request with the payload of a CI job, which has no ID and no time.
func plain(g target, ref string) request {
	return request{target: g, ref: ref, body: fmt.Sprintf(`{"ref":%q}`, ref)}
}

// release returns a request with GitHub's event of a release published at that time.
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
