// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKubectlGetShowsImagesAndWhoGotThem(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		w.runningShop(name, "example/shop:1.0.0", "argocd-image-updater.argoproj.io/image-list: example/shop")
	}
	w.runningShop("harbors", "harbor.example.com/team/shop:1.0.0", wantsHarborsShop)
	const (
		toBoth = "image: example/shop, ref: 1.1.0"
		toOne  = "image: harbor.example.com/team/shop, ref: 1.4.0"
	)
	w.eventually(func() error { // until the Applications are in the cache
		both := len(w.deliver(delivery("try", toBoth), "--dry-run=server").Status.Targets)
		one := len(w.deliver(delivery("try", toOne), "--dry-run=server").Status.Targets)
		return want("targets", both+one, 3)
	})
	for name, spec := range map[string]string{
		"both": toBoth, "named": "target: {kind: Application, name: a}, " + toBoth, "one": toOne, "unwanted": "image: example/other, ref: 1.0.0",
	} {
		w.deliver(delivery(name, spec))
		w.concluded(name)
	}

	columns, rows := table(t, w.kubectl("", "get", "whd"))

	hideAge(t, columns, rows)
	want := [][]string{
		{"both", "generic", "2 targets", "example/shop:1.1.0", "Applied", "some"},
		{"named", "generic", "application/a", "example/shop:1.1.0", "Applied", "some"},
		{"one", "generic", "application/harbors", "harbor.example.com/team/shop:1.4.0", "Applied", "some"},
		{"unwanted", "generic", "", "example/other:1.0.0", "Ignored", "some"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
