// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "testing"

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{
		"github/push-branch",
		"github/push-branch-deleted",
		"github/release-published",
		"github/release-by-hand",
		"github/form-release",
		"github/ping",
		"gitea/push-branch",
		"gitlab/push-branch",
		"bitbucket/push-several",
		"bitbucket-server/push-several",
		"azure-devops/push-branch",
		"argocd/annotation-full",
		"argocd/revision",
		"kargo/tag-full",
		"generic/minimal",
		"acr/push-full",
		"aliyun-acr/full",
		"cloudevents/ecr-full",
		"cloudevents/binary",
		"cloudevents/batch",
		"distribution/push-of-an-image-with-layers",
		"docker.io/full",
		"ecr/push-full",
		"gar/insert-full",
		"ghcr.io/package-full",
		"ghcr.io/tag-empty",
		"harbor/push-of-several",
		"harbor/cloudevent-push",
		"jfrog/pushed-full",
		"nexus/created-full",
		"quay.io/several-tags",
		"zot/updated-full",
	} {
		in := goldenInput(b, name)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in.Body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
