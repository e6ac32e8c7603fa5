// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"testing"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// BenchmarkDecision measures finding the configuration of one Application and deciding, with a typical configuration
// and with the largest allowed one.
func BenchmarkDecision(b *testing.B) {
	usual := hosts("demo", map[string]string{
		"image-list": "web=nginx:^1, side=ghcr.io/acme/side", "allow-tags": `regexp:^v?[0-9]+\.[0-9]+\.[0-9]+$`,
		"ignore-tags": "latest, dev",
	})
	aliased := hosts("demo", map[string]string{
		"image-list": aliases(maxImages, "nginx"), "allow-tags": "regexp:^(?:[0-9a-z]{9}|.?){90}$",
	})
	aliased.Status.Summary.Images = nil
	for i := range maxInUse {
		aliased.Status.Summary.Images = append(aliased.Status.Summary.Images, fmt.Sprintf("nginx:9.0.%02d", i))
	}
	others := hosts("demo", map[string]string{"image-list": aliases(maxImages-1, "ghcr.io/acme/shop") + "web=nginx"})
	pushed := Image{Name: "docker.io/library/nginx", Tag: "1.0.1"}
	for name, app := range map[string]*argov1alpha1.Application{
		"Usual": usual, "MostAliases": aliased, "MostImages": others,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				config, _ := ConfigForImage(app, nil, pushed)
				if plan := PlanFor(app, config, pushed); len(plan.Decisions) == 0 {
					b.Fatal("no decision")
				}
			}
		})
	}
}
