// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkPlanManyTags plans what a push of 256 tags, of which an Application wants none
// or each, comes to at one Application.
func BenchmarkPlanManyTags(b *testing.B) {
	for name, constraint := range map[string]string{"unwanted": ":~9", "wanted": ""} {
		b.Run(name, func(b *testing.B) {
			document := shopNow("1", `, "argocd-image-updater.argoproj.io/image-list": "web=nginx`+constraint+`"`)
			live := view{kind: KindApplication, obj: parse(b, KindApplication, document), document: []byte(document)}
			requests := manyTags(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := planFor(b.Context(), live, requests, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPlanLargeApplication does the same with an Application as large as owners may make it: 100 sources,
// and 200 KiB of annotations of others.
func BenchmarkPlanLargeApplication(b *testing.B) {
	for name, wanted := range map[string]string{
		"one image": `"argocd-image-updater.argoproj.io/image-list": "web=nginx"`,
		"the same build again and again": `"argocd-image-updater.argoproj.io/image-list": "web=nginx",
			"argocd-image-updater.argoproj.io/web.update-strategy": "newest-build"`,
		"many event times": `"argocd-image-updater.argoproj.io/image-list": "web=nginx",
			"argocd-image-updater.argoproj.io/web.update-strategy": "newest-build",
			"argocd-image-updater.argoproj.io/web.allow-tags": "regexp:^9",
			"postern.dev/event-time": ` + strconv.Quote(manySlots(2000).String()),
	} {
		b.Run(name, func(b *testing.B) {
			var sources, images, types []string
			for i := range maxSources {
				sources = append(sources, fmt.Sprintf(`{"repoURL": "https://git.acme.io/r%d", "path": "p", "targetRevision": "v1",
					"kustomize": {"images": ["nginx%d:1.2"]}}`, i, i))
				images, types = append(images, fmt.Sprintf(`"nginx%d:1.2"`, i)), append(types, `"Kustomize"`)
			}
			images = append(images, `"nginx:1.25"`)
			document := `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
				"metadata": {"namespace": "demo", "name": "shop", "annotations": {
					"team": "` + strings.Repeat("x", 200<<10) + `", ` + wanted + `}},
				"spec": {"sources": [` + strings.Join(sources, ",") + `]},
				"status": {"sourceTypes": [` + strings.Join(types, ",") + `],
				"summary": {"images": [` + strings.Join(images, ",") + `]}}}`
			live := view{kind: KindApplication, obj: parse(b, KindApplication, document), document: []byte(document)}
			requests := manyTags(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := planFor(b.Context(), live, requests, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// manySlots are more moments than are kept, as an owner may write them.
func manySlots(count int) moments {
	many := moments{}
	for i := range count {
		many[fmt.Sprintf("image/%05d", i)] = moment{By: "harbor", Received: noon.Add(time.Duration(i) * time.Second)}
	}
	return many
}

// manyTags are as many tags of an image as one webhook may name.
func manyTags(b *testing.B) (requests []Request) {
	for i := range 256 {
		pushed := image(b, fmt.Sprintf("nginx:2.%d", i))
		requests = append(requests, Request{Image: pushed, By: "quay.io", At: noon, Received: minute(i)})
	}
	return requests
}
