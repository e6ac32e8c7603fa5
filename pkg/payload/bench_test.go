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
		"argocd/annotation-full",
		"argocd/revision",
		"kargo/tag-full",
		"generic/minimal",
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
