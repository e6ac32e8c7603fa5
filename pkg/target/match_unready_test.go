// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	"postern.dev/postern/apis/postern"
)

func TestMatchesAreUnknownWhileTheCacheIsNotFilled(t *testing.T) {
	git, nginx := branch("main"), Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:1.26")}}
	for _, test := range []struct {
		forbidden                string
		gitUnknown, imageUnknown bool
	}{
		{gatewaySyncs, true, false},
		{applications, true, true},
		{imageUpdaters, false, true},
	} {
		t.Run(test.forbidden, func(t *testing.T) {
			api := newFakeAPIServer(t, plantAt("v1"))
			for path := range lists {
				api.serve(path, &answer{})
			}
			api.serve(test.forbidden, forbidden)
			cache, err := NewCache(api.config())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []Request{git, nginx} {
				if _, err := cache.Matches("demo", r); !IsTransient(err) {
					t.Errorf("before the start: got %v", err)
				}
			}
			cache = startCache(t, api)
			known := func(r Request) bool {
				_, err := cache.Matches("demo", r)
				if err != nil && !IsTransient(err) {
					t.Errorf("got %v", err)
				}
				return err == nil
			}
			eventually(t, "all known matches are found", func() bool {
				return (test.gitUnknown || known(git)) && (test.imageUnknown || known(nginx))
			})
			if test.gitUnknown && known(git) || test.imageUnknown && known(nginx) {
				t.Error("got matches that can't be known")
			}
		})
	}
}

func TestMatchesAreUnknownWhileTheIndexIsBehind(t *testing.T) {
	_, cache := startCacheOf(t)
	nginx := Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:1.26")}}
	for _, kind := range []postern.TargetKind{postern.TargetApplication, imageUpdaterResource.kind} {
		indexed := cache.kinds[kind].indexed
		cache.kinds[kind].indexed = func() bool { return false }
		if _, err := cache.Matches("demo", nginx); !IsTransient(err) {
			t.Errorf("%s: got %v", kind, err)
		}
		if cache.Ready() == nil {
			t.Errorf("%s: the cache is ready", kind)
		}
		cache.kinds[kind].indexed = indexed
	}
	if got := matched(t, cache, "demo", nginx); got != nil {
		t.Errorf("got %v", got)
	}
}
