// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
)

// busyApplication is an Application with about as much data as a real one: the last applied configuration, managed
// fields, a history, and the state of every resource.
func busyApplication(i int) string {
	repeat := func(count int, format string) string {
		items := make([]string, count)
		for n := range items {
			items[n] = fmt.Sprintf(format, n)
		}
		return strings.Join(items, ",")
	}
	return fmt.Sprintf(`{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
		"metadata": {"namespace": "demo", "name": "shop-%[1]d", "resourceVersion": "%[1]d",
			"uid": "3e5ff1f2-4f6a-4e8c-8a60-%012[1]d",
			"creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1234,
			"finalizers": ["resources-finalizer.argocd.argoproj.io"],
			"labels": {"app.kubernetes.io/instance": "shop-%[1]d", "team": "team-%[1]d"},
			"annotations": {"kubectl.kubernetes.io/last-applied-configuration": %[2]q,
				"notifications.argoproj.io/subscribe.slack": "shop-%[1]d",
				"argocd-image-updater.argoproj.io/image-list":
					"web=ghcr.io/acme/shop-%[1]d:1.x, side=ghcr.io/acme/side-%[1]d",
				"argocd-image-updater.argoproj.io/web.update-strategy": "semver"},
			"managedFields": [{"manager": "argocd-controller", "fieldsV1": {%[3]s}}]},
		"spec": {"project": "default", "destination": {"server": "https://kubernetes.default.svc",
			"namespace": "shop-%[1]d"},
			"source": {"repoURL": "https://git.acme.io/shop-%[1]d.git", "path": "deploy/prod", "targetRevision": "main",
				"kustomize": {"images": ["ghcr.io/acme/shop-%[1]d:1.4.2"]}}},
		"status": {"sourceType": "Kustomize", "summary": {"images": ["ghcr.io/acme/shop-%[1]d:1.4.2",
			"ghcr.io/acme/side-%[1]d:2.0.0", "redis:7"]},
			"history": [%[4]s], "resources": [%[5]s]}}`,
		i, strings.Repeat("x", 800),
		repeat(40, `"f:field-%d": {}`),
		repeat(10, `{"id": %d, "revision": "0123456789abcdef0123456789abcdef01234567", "deployedAt": `+
			`"2026-01-01T00:00:00Z"}`),
		repeat(20, `{"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "web-%d", `+
			`"status": "Synced"}`))
}

// BenchmarkMatchImage finds the Application that wants an image among others in one namespace. The time must hardly
// depend on their number. It reports the memory that the cache and its indexes use for each.
func BenchmarkMatchImage(b *testing.B) {
	for _, count := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			cache, bytes := filledCache(b, count)
			request := Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(b,
				fmt.Sprintf("ghcr.io/acme/shop-%d:1.5.0", count/2))}}
			b.ReportAllocs()
			for b.Loop() {
				if matches, err := cache.Matches("demo", request); err != nil || len(matches) != 1 {
					b.Fatalf("got %v, %v", matches, err)
				}
			}
			b.ReportMetric(float64(bytes)/float64(count), "B/application")
		})
	}
}

// BenchmarkMatchBranch is BenchmarkMatchImage for a pushed branch.
func BenchmarkMatchBranch(b *testing.B) {
	for _, count := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			cache, _ := filledCache(b, count)
			request := withRepository(fmt.Sprintf("https://git.acme.io/shop-%d", count/2), branch("main"))
			b.ReportAllocs()
			for b.Loop() {
				if matches, err := cache.Matches("demo", request); err != nil || len(matches) != 1 {
					b.Fatalf("got %v, %v", matches, err)
				}
			}
		})
	}
}

// filledCache returns a cache of count Applications and the memory that it uses.
func filledCache(b *testing.B, count int) (filled *Cache, bytes uint64) {
	b.Helper()
	items := make([]string, count)
	for i := range items {
		items[i] = busyApplication(i)
	}
	api := newFakeAPIServer(b, plantAt("v1"))
	api.serve(gatewaySyncs, &answer{})
	api.serve(imageUpdaters, &answer{text: versioned(b, updaterWith("demo", "images", "selected-*", "nginx"), 1)})
	api.serve(applications, &answer{text: strings.Join(items, ",")})

	before := heapInUse()
	filled, err := NewCache(api.config())
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := filled.Start(ctx); err != nil {
			b.Error(err)
		}
	}()
	b.Cleanup(func() { stop(); <-stopped })
	eventually(b, "filled", func() bool { return filled.Ready() == nil })
	// builds the index
	if _, err := filled.Matches("demo", Request{DeliveryEvent: &postern.DeliveryEvent{Image: image(b,
		"nginx")}}); err != nil {
		b.Fatal(err)
	}
	after := heapInUse()
	runtime.KeepAlive(items)
	return filled, after - before
}

// heapInUse returns the heap memory in use.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
