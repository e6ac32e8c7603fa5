// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
)

func TestWriter_ImageFailures(t *testing.T) {
	request := Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(t, "nginx:1.26"), Source: "harbor"}, At: noon}

	t.Run("without a cache nothing is found, but what is named is written", func(t *testing.T) {
		api := newFakeAPIServer(t, shopWith(`[]`))
		api.path = "/apis/argoproj.io/v1alpha1/namespaces/demo/applications/shop"
		writer, _ := newTestWriter(t, api, nil)
		if _, err := writeOne(t.Context(), writer, shopKey, request, false); err != nil {
			t.Error(err)
		}
		if _, err := writer.Matches("demo", request); !errors.Is(err, errNoCache) {
			t.Errorf("matches: got %v", err)
		}
	})

	t.Run("while the ImageUpdater objects can't be read", func(t *testing.T) {
		api := newFakeAPIServer(t, shopWith(`[]`))
		api.serve(applications, &answer{text: shopWith(`[]`)})
		api.serve(imageUpdaters, unavailable)
		cache := startCache(t, api)
		eventually(t, "filled", func() bool { _, ok := cache.get(shopKey); return ok })
		writer, _ := newTestWriter(t, api, cache)
		if _, err := writeOne(t.Context(), writer, shopKey, request, false); !IsTransient(err) {
			t.Errorf("got %v", err)
		}
		if requests, _ := api.seen(); len(requests) > 0 {
			t.Errorf("got requests %v", requests)
		}
	})

	t.Run("on a list that can't be tested", func(t *testing.T) {
		api, writer := newShop(t, "", shopWith(`[null]`))
		_, err := writeOne(t.Context(), writer, shopKey, request, false)
		if !errors.Is(err, errNullItem) || IsTransient(err) ||
			!strings.Contains(err.Error(), "/spec/source/helm/parameters") {
			t.Errorf("got %v", err)
		}
		if requests, _ := api.seen(); len(requests) != 1 {
			t.Errorf("got requests %v", requests)
		}
	})
}

func TestWriter_NeverWritesImageUpdater(t *testing.T) {
	api, writer := newShop(t, "", shopWith(`[]`))
	key := postern.TargetKey{Kind: imageUpdaterResource.kind, Namespace: "demo", Name: "images"}
	if _, err := writeOne(t.Context(), writer, key, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon},
		false); err == nil ||
		err.Error() != "could not write ImageUpdater demo/images: a ref cannot be written to this kind" {
		t.Errorf("Write: got %v", err)
	}
	if err := writer.Resolve(t.Context(), key, false); err == nil {
		t.Error("Resolve: got no error")
	}
	if version := APIVersion(key.Kind); version != "" {
		t.Errorf("APIVersion: got %q", version)
	}
	if requests, _ := api.seen(); len(requests) > 0 {
		t.Errorf("got requests %v", requests)
	}
}
