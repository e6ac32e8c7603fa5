// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

func commit(repository, id string) Request {
	return withRepository(repository, ofType(postern.RefTypeCommit, id))
}

func TestChoose_OneRefForEachSlot(t *testing.T) {
	const id = "4f1d2c3b5a6978877665544332211000ffeeddcc"
	const charts = "https://git.acme.io/charts.git"
	follows := map[string]string{AnnotationFollowTags: ">=1"}
	unknown := func(r Request) Request { return withRepository("", r) }
	of := withRepository
	for _, test := range []struct {
		name        string
		annotations map[string]string
		ref         string
		sources     []argov1alpha1.ApplicationSource // the default is one of shop at ref
		requests    []Request
		// sync and app are the chosen requests of a GatewaySync and of an Application.
		sync, app []int
	}{
		{name: "one", ref: "main", requests: []Request{branch("dev")}, sync: []int{0}, app: []int{0}},
		{name: "the tracked branch", ref: "release/1.1",
			requests: []Request{branch("release/1.1"), branch("release/1.2"), branch("main")},
			sync:     []int{0}, app: []int{0}},
		{name: "the last, if none is tracked", ref: "v1",
			requests: []Request{branch("a"), branch("b")}, sync: []int{1}, app: []int{1}},
		{name: "a tag that is followed", ref: "v1.0.0", annotations: follows,
			requests: []Request{tag("v1.1.0"), branch("main")}, sync: []int{0}, app: []int{0}},
		{name: "the highest tag that is followed", ref: "v1.0.0", annotations: follows,
			requests: []Request{tag("v1.10.0"), tag("v1.9.0"), tag("v0.1.0")}, sync: []int{0}, app: []int{0}},
		{name: "a tag of the range in targetRevision", ref: "1.x",
			requests: []Request{tag("v1.2.0"), tag("v2.0.0")}, sync: []int{1}, app: []int{0}},
		{name: "the target's own repository", ref: "main",
			requests: []Request{of(shop, branch("dev")), of(charts, tag("v9")), of(values, branch("main"))},
			sync:     []int{0}, app: []int{0}},
		{name: "its own commit rather than a tag of another repository", ref: "main",
			requests: []Request{commit(shop, id), of(charts, tag("v9"))}, sync: []int{0}, app: []int{0}},
		{name: "an unknown repository rather than another one", ref: "main",
			requests: []Request{unknown(branch("dev")), of(charts, tag("v9"))}, sync: []int{0}, app: []int{0}},
		{name: "a tag of another repository rather than a commit of it", ref: "main",
			requests: []Request{of(charts, tag("v9")), commit(charts, id)}, sync: []int{0}, app: []int{0}},
		{name: "one for each repository of an Application", ref: "main",
			sources:  []argov1alpha1.ApplicationSource{source(shop, "main"), source(values, "prod")},
			requests: []Request{of(values, branch("prod")), of(values, branch("dev")), of(shop, branch("dev"))},
			sync:     []int{2}, app: []int{0, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := choose(gatewaySyncKind{}, syncOf(test.annotations, test.ref), test.requests)
			if diff := cmp.Diff(test.sync, got); diff != "" {
				t.Errorf("of a GatewaySync (-want +got):\n%s", diff)
			}
			sources := test.sources
			if sources == nil {
				sources = []argov1alpha1.ApplicationSource{source(shop, test.ref)}
			}
			got = choose(applicationKind{}, applicationOf(test.annotations, sources...), test.requests)
			if diff := cmp.Diff(test.app, got); diff != "" {
				t.Errorf("of an Application (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChoose_OfTargetThatResolveHasRead(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("main"))
	writer, _ := newTestWriter(t, api, nil)
	if err := writer.Resolve(t.Context(), plant, false); err != nil {
		t.Fatal(err)
	}
	requests := []Request{
		withRepository("https://github.com/example/plant", branch("main")),
		withRepository("https://github.com/example/plant", branch("dev")),
	}
	for range 2 {
		if diff := cmp.Diff([]int{0}, writer.Choose(plant, requests)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	unread := postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: "demo", Name: "other"}
	if diff := cmp.Diff([]int{1}, writer.Choose(unread, requests)); diff != "" {
		t.Errorf("a target that was not read (-want +got):\n%s", diff)
	}
}

// The choice depends on what the target tracks now, even if the cache is behind.
func TestChoose_IgnoresOldCache(t *testing.T) {
	api := newFakeAPIServer(t, plantTracking("release", "2"))
	api.serve(gatewaySyncs, &answer{text: plantTracking("main", "1")})
	cache := startCache(t, api)
	eventually(t, "listed", func() bool { return cache.Has(plant) })
	writer, _ := newTestWriter(t, api, cache)
	if err := writer.Resolve(t.Context(), plant, true); err != nil {
		t.Fatal(err)
	}
	requests := []Request{branch("release"), branch("main")}
	if diff := cmp.Diff([]int{0}, writer.Choose(plant, requests)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r := event("release", "github", 0, 1)
	if _, err := writeOne(t.Context(), writer, plant, r, false); err != nil {
		t.Fatal(err)
	}
	sent, _ := api.seen()
	if diff := cmp.Diff([]string{"GET", "PATCH fieldManager=postern"}, sent); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestChoose_IgnoresCacheThatIsFilledWithOld(t *testing.T) {
	api := newFakeAPIServer(t, plantTracking("release", "2"))
	cache := startCache(t, api)
	writer, _ := newTestWriter(t, api, cache)
	if err := writer.Resolve(t.Context(), plant, true); err != nil {
		t.Fatal(err)
	}
	api.serve(gatewaySyncs, &answer{text: plantTracking("main", "1")})
	eventually(t, "cached", func() bool { _, cached := cache.get(plant); return cached })
	if diff := cmp.Diff([]int{0}, writer.Choose(plant, []Request{branch("release"), branch("main")})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// plantTracking returns the JSON of a GatewaySync that tracks a ref, at a version.
func plantTracking(ref, version string) string {
	return `{"apiVersion": "stoker.io/v1alpha1", "kind": "GatewaySync",
		"metadata": {"name": "plant", "namespace": "demo", "resourceVersion": "` + version + `"},
		"spec": {"git": {"repo": "https://git.acme.io/shop", "ref": "` + ref + `"}}}`
}

func TestDecide_CommitNeedsOwnersConsent(t *testing.T) {
	id := strings.Repeat("4f1d2c3b", 5)
	accepts := map[string]string{AnnotationAcceptCommits: "true"}
	untyped := ofType("", strings.ToUpper(id))
	for name, test := range map[string]struct {
		annotations map[string]string
		request     Request
		// sync and app are the reasons of a GatewaySync and of an Application.
		sync, app string
	}{
		"a commit":                       {nil, commit(shop, id), "CommitNotAccepted", "Requested"},
		"a commit of unknown repository": {nil, commit("", id), "CommitNotAccepted", "Requested"},
		"what looks like a commit":       {nil, untyped, "CommitNotAccepted", "Requested"},
		"a branch of that name":          {nil, branch(id), "Requested", "Requested"},
		"accepted":                       {accepts, commit(shop, id), "Requested", "Requested"},
		"accepted, by its form":          {accepts, untyped, "Requested", "Requested"},
		"accepted, of another repository": {accepts, commit(values, id), "CommitNotAccepted",
			"CommitNotAccepted"},
		"not accepted with another value": {map[string]string{AnnotationAcceptCommits: "yes"}, commit(shop, id),
			"CommitNotAccepted", "Requested"},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, of := range map[string]struct {
				object object
				want   string
			}{
				"GatewaySync": {syncOf(test.annotations, "main"), test.sync},
				"Application": {applicationOf(test.annotations, source(shop, "main")), test.app},
			} {
				got := decide(t, of.object, test.request)
				if got.Reason != of.want || got.Held != (of.want == "Requested") || got.Held != (len(got.Patch) > 0) {
					t.Errorf("%s: got %+v, want %s", kind, got, of.want)
				}
				if got.Message == "" || len(got.Message) > 300 {
					t.Errorf("%s: message %q", kind, got.Message)
				}
			}
		})
	}
}

// A chart's repository is rarely the one in which it is developed.
func TestDecide_RefOfAnotherRepositoryIsNoted(t *testing.T) {
	const note = `the ref is of "git.acme.io/values", which is not a repository of the `
	for kind, obj := range map[string]object{
		"GatewaySync": syncOf(nil, "main"), "Application": applicationOf(nil, source(shop, "main")),
	} {
		got := decide(t, obj, withRepository(values, tag("v2")))
		if !got.Held || !strings.Contains(got.Message, note+kind) {
			t.Errorf("%s: got %+v", kind, got)
		}
		for _, own := range []Request{tag("v2"), withRepository("", tag("v2"))} {
			if got := decide(t, obj, own); !got.Held || strings.Contains(got.Message, "repository") {
				t.Errorf("%s: got %+v", kind, got)
			}
		}
	}
}

func TestMatches_AddressForSSH(t *testing.T) {
	const address = "ssh://git@ssh.infra.example:7999/fruit/pear.git"
	sync, app := syncOf(nil, "main"), applicationOf(nil, source(address, "main"))
	sync.Namespace, sync.Name, sync.Spec.Git.Repo = "demo", "ssh", address
	app.Namespace, app.Name = "demo", "ssh"
	both := syncOf(nil, "main")
	both.Namespace, both.Name, both.Spec.Git.Repo = "demo", "https", "https://git.example/below/scm/fruit/pear.git"
	_, cache := startCacheOf(t, sync, app, both)
	pushed := withEvent(branch("main"), func(e *postern.DeliveryEvent) {
		e.Repository, e.SSHURL = "https://git.example/below/scm/fruit/pear.git", address
	})
	want := []string{"Application/ssh", "GatewaySync/https", "GatewaySync/ssh"}
	if diff := cmp.Diff(want, matched(t, cache, "demo", pushed)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := decide(t, sync, ifFollowed(pushed)); !got.Held {
		t.Errorf("got %+v", got)
	}
}
