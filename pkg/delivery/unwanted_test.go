// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
)

func TestUnwantedPushIsNamedAsTargetsNameIt(t *testing.T) {
	image := postern.DeliveryEvent{Ref: "1.2.3", Image: &postern.ImageReference{Host: "docker.io", Repository: "library/nginx", Tag: "1.2.3", Digest: "sha256:0a"}}
	commit := postern.DeliveryEvent{Ref: "main", Repository: "https://github.com/acme/plant.git"}
	alone := postern.DeliveryEvent{Ref: "v2.0.0"}
	long := postern.DeliveryEvent{Ref: strings.Repeat("x", 2*maxTextBytes)}
	for want, events := range map[string][]postern.DeliveryEvent{
		"nothing wants what was pushed":                                     nil,
		"nothing wants docker.io/library/nginx:1.2.3":                       {image},
		"nothing wants main of https://github.com/acme/plant.git":           {commit},
		"nothing wants v2.0.0":                                              {alone},
		"nothing wants v2.0.0, or the other ref":                            {alone, commit},
		"nothing wants docker.io/library/nginx:1.2.3, or the 2 other refs":  {image, alone, commit},
		"nothing wants " + strings.Repeat("x", maxTextBytes-len("…")) + "…": {long},
	} {
		if got := unwanted("nothing", events); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
