// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"slices"
	"testing"
	"time"
)

func TestRegistry_SignaturesAndAttestations(t *testing.T) {
	for _, format := range []struct {
		name  string
		flags []string
	}{
		{"bundles", nil},
		{"tags", []string{"--new-bundle-format=false"}},
	} {
		t.Run(format.name, func(t *testing.T) {
			reacted := scenario(t, "distribution: an image that cosign signs and attests, with "+format.name)
			r := newDistribution(t)
			r.env = append(r.env, "COSIGN_PASSWORD=") // of the key
			shop := r.host + "/team/shop"
			// The newest image is the one that was pushed last, with any tag.
			r.runningShop("newest", shop+":1.4.0", map[string]string{
				"argocd-image-updater.argoproj.io/image-list":           "shop=" + shop,
				"argocd-image-updater.argoproj.io/shop.update-strategy": "newest-build",
			})
			image := r.pushImage("1.4.1", "linux/amd64")
			digest := shop + "@" + r.run("bin/senders/crane", "digest", image)
			writeFile(t, r.dir, "predicate.json", `{"reviewed": true}`)
			r.run("bin/senders/cosign", "generate-key-pair")
			flags := slices.Concat([]string{
				"--key=cosign.key", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry",
				"--yes",
			}, format.flags, []string{digest})
			r.run("bin/senders/cosign", append([]string{"sign"}, flags...)...)
			r.run("bin/senders/cosign", append([]string{"attest", "--predicate=predicate.json"}, flags...)...)

			// The registry reports in order, so that all before it has been reported.
			r.pushImage("1.4.2", "linux/amd64")
			pushed := time.Now()
			r.waitOverride("newest", shop+":1.4.2", r.program.LogTail)
			reacted(pushed)
			r.checkRequests("push team/shop:1.4.1", "push team/shop:1.4.2")
			for _, d := range r.deliveries() {
				t.Logf("%s %s: %s", d.Status.Phase, d.Status.Reason, d.Status.Message)
			}
		})
	}
}
