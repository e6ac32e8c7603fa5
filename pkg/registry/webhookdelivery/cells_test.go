// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"testing"

	"postern.dev/postern/apis/postern"
)

func ofImage(host, repository, tag, digest string) postern.DeliveryEvent {
	return postern.DeliveryEvent{Ref: tag, Image: &postern.ImageReference{Host: host, Repository: repository, Tag: tag, Digest: digest}}
}

func ofGit(ref string) postern.DeliveryEvent { return postern.DeliveryEvent{Ref: ref} }

func TestColumnRefShowsWhatIsRequestedInShort(t *testing.T) {
	for want, events := range map[string][]postern.DeliveryEvent{
		"":                                      nil,
		"main":                                  {ofGit("main")},
		"main,v2.0.0":                           {ofGit("main"), ofGit("v2.0.0")},
		"a,b,c":                                 {ofGit("a"), ofGit("b"), ofGit("c")},
		"a,b,c,+2":                              {ofGit("a"), ofGit("b"), ofGit("c"), ofGit("d"), ofGit("e")},
		"library/nginx:1.2.3":                   {ofImage("docker.io", "library/nginx", "1.2.3", "sha256:abc")},
		"example/shop:1.0":                      {ofImage("", "example/shop", "1.0", "")},
		"registry.example.com:5000/shop:1.0":    {ofImage("registry.example.com:5000", "shop", "1.0", "")},
		"ghcr.io/example/shop@sha256:abc":       {ofImage("ghcr.io", "example/shop", "", "sha256:abc")},
		"quay.io/example/shop:1.4,1.4.0,latest": {ofImage("quay.io", "example/shop", "1.4", ""), ofImage("quay.io", "example/shop", "1.4.0", ""), ofImage("quay.io", "example/shop", "latest", "")},
		"quay.io/a:1,quay.io/b:1":               {ofImage("quay.io", "a", "1", ""), ofImage("quay.io", "b", "1", "")},
		"quay.io/a:1,main,quay.io/a:2":          {ofImage("quay.io", "a", "1", ""), ofGit("main"), ofImage("quay.io", "a", "2", "")},
		"quay.io/a:1,quay.io/a@sha256:abc":      {ofImage("quay.io", "a", "1", ""), ofImage("quay.io", "a", "", "sha256:abc")},
		"quay.io/team/shop":                     {ofImage("quay.io", "team/shop", "", "")},
		"registry.example.com/a:1,2,3,+1":       {ofImage("registry.example.com", "a", "1", ""), ofImage("registry.example.com", "a", "2", ""), ofImage("registry.example.com", "a", "3", ""), ofImage("registry.example.com", "a", "4", "")},
	} {
		if got := refCell(events); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestColumnTargetShowsWhereADeliveryWent(t *testing.T) {
	to := func(results ...postern.TargetResult) *postern.WebhookDelivery {
		return &postern.WebhookDelivery{Status: postern.WebhookDeliveryStatus{Targets: results}}
	}
	result := func(kind postern.TargetKind, name string, result postern.TargetResultType) postern.TargetResult {
		return postern.TargetResult{Kind: kind, Name: name, Result: result}
	}
	shop := result(postern.TargetApplication, "shop", postern.TargetWritten)
	plant := result(postern.TargetGatewaySync, "plant", postern.TargetPending)
	failed := result(postern.TargetApplication, "failed", postern.TargetFailed)
	skipped := result(postern.TargetApplication, "skipped", postern.TargetSkipped)
	named := to(shop, plant)
	named.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"}

	for name, test := range map[string]struct {
		delivery *postern.WebhookDelivery
		want     string
	}{
		"one that is named":                      {named, "gatewaysync/plant"},
		"none found":                             {to(), ""},
		"one found":                              {to(shop), "application/shop"},
		"several":                                {to(shop, plant, failed), "3 targets"},
		"one, for several refs":                  {to(shop, shop), "application/shop"},
		"one wants it, and others do not":        {to(skipped, shop, skipped), "application/shop"},
		"nobody wants it":                        {to(skipped), "application/skipped"},
		"several, of which one does not want it": {to(shop, plant, skipped), "2 targets"},
		"of both kinds with the same name":       {to(shop, result(postern.TargetGatewaySync, "shop", postern.TargetWritten)), "2 targets"},
	} {
		if got := targetCell(test.delivery); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
