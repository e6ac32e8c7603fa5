// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"testing"
)

// BenchmarkPlanManyTags plans what a push of 256 tags, of which an Application wants none
// or each, comes to at one Application.
func BenchmarkPlanManyTags(b *testing.B) {
	for name, constraint := range map[string]string{"unwanted": ":~9", "wanted": ""} {
		b.Run(name, func(b *testing.B) {
			document := shopNow("1", `, "argocd-image-updater.argoproj.io/image-list": "web=nginx`+constraint+`"`)
			live := view{kind: KindApplication, obj: parse(b, KindApplication, document), document: []byte(document)}
			var requests []Request
			for i := range 256 {
				requests = append(requests, Request{Image: image(b, fmt.Sprintf("nginx:2.%d", i)), By: "quay.io", At: noon, Received: minute(i)})
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := planFor(live, requests, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
