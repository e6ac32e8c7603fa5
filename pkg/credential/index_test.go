// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// someSources are two registries, with only their own key, and two git senders, which also use the shared keys.
var someSources = []string{"docker.io", "generic", "github", "harbor"}

// acceptedSources returns the sources among someSources that can be accepted.
func acceptedSources(s *Secrets) []string {
	v := NewVerifier(Config{RequireSecret: true}, s)
	return slices.DeleteFunc(slices.Clone(someSources), func(source string) bool { return !v.CanAccept(source) })
}

func TestCanAccept_FollowsSecrets(t *testing.T) {
	s := &Secrets{}
	set := func(namespace string, pairs ...string) func() {
		data := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			data[pairs[i]] = pairs[i+1]
		}
		return func() { s.Set(namespace, asBytes(data)) }
	}
	remove := func(namespace string) func() { return func() { s.Delete(namespace) } }
	defaults := func(data map[string]string) func() { return func() { s.SetDefaults(asBytes(data)) } }
	allow := func(namespaces ...string) func() {
		return func() {
			s.SetNamespaceFilter(func(namespace string) bool { return slices.Contains(namespaces, namespace) })
		}
	}
	docker, general, all := []string{"docker.io"}, []string{"generic", "github"},
		[]string{"docker.io", "generic", "github"}
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"nothing", func() {}, []string{}},
		{"a secret in a", set("a", "webhook.docker-secret", "1"), docker},
		{"the same in b", set("b", "webhook.docker-secret", "2\n3"), docker},
		{"no longer in a", set("a", "webhook.docker-secret", " \n"), docker},
		{"b is deleted", remove("b"), []string{}},
		{"b is deleted again", remove("b"), []string{}},
		{"back in a, with another", set("a", "webhook.docker-secret", "1", "hmac", "2"), all},
		{"the same again", set("a", "webhook.docker-secret", "1", "hmac", "2"), all},
		{"a key is removed", set("a", "token", "2"), general},
		{"of another sender", set("a", "webhook.quay-secret", "2"), []string{}},
		{"of one git host", set("a", "webhook.github-secret", "2"), []string{"github"}},
		{"of one target", set("a", "gatewaysyncs.plant.token", "2", "applications.shop.hmac", "2"), []string{}},
		{"an unknown key", set("a", "notes", "2"), []string{}},
		{"by default", defaults(map[string]string{"webhook.harbor-secret": "d", "gatewaysyncs.plant.token": "d"}),
			[]string{"harbor"}},
		{"by default and in b", set("b", "webhook.harbor-secret", "", "token", "t"),
			[]string{"generic", "github", "harbor"}},
		{"other defaults", defaults(map[string]string{"hmac": "d"}), general},
		{"no defaults", defaults(nil), general},
		{"b is not allowed", allow("a", "c"), []string{}},
		{"a change in b", set("b", "webhook.docker-secret", "1"), []string{}},
		{"a change in c", set("c", "webhook.docker-secret", "1"), docker},
		{"b is allowed", allow("b"), docker},
		{"c is deleted", remove("c"), docker},
		{"b is also deleted", remove("b"), []string{}},
	} {
		step.do()
		if diff := cmp.Diff(step.want, acceptedSources(s)); diff != "" {
			t.Errorf("%s: sources (-want +got):\n%s", step.name, diff)
		}
	}
	if len(s.index) != 0 {
		t.Errorf("got index %v without any secret", s.index)
	}
}

// The index must agree with the secrets that verify attempts.
func TestCanAccept_AgreesWithVerify(t *testing.T) {
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	names := []string{"a", "b", "c", "d"}
	keys := []string{"hmac", "token", "webhook.docker-secret", "webhook.github-secret", "webhook.harbor-secret",
		"gatewaysyncs.plant.token", "notes"}
	someData := func() map[string][]byte {
		data := map[string][]byte{}
		for _, key := range keys {
			if random.IntN(6) == 0 {
				data[key] = []byte([]string{"", "\n", "x", "x\ny"}[random.IntN(4)])
			}
		}
		return data
	}
	s := &Secrets{}
	allowed := slices.Clone(names)
	for range 5000 {
		switch namespace := names[random.IntN(len(names))]; random.IntN(8) {
		case 0, 1, 2, 3:
			s.Set(namespace, someData())
		case 4, 5:
			s.Delete(namespace)
		case 6:
			s.SetDefaults(someData())
		case 7:
			allowed = slices.DeleteFunc(slices.Clone(names), func(string) bool { return random.IntN(2) == 0 })
			now := allowed
			s.SetNamespaceFilter(func(namespace string) bool { return slices.Contains(now, namespace) })
		}
		want := slices.DeleteFunc(slices.Clone(someSources), func(source string) bool {
			a := Attempt{Source: source}
			return !s.defaultsFor(a).hasAny() && !slices.ContainsFunc(allowed, func(namespace string) bool {
				a.Namespace = namespace
				return s.validFor(a).hasAny()
			})
		})
		if diff := cmp.Diff(want, acceptedSources(s)); diff != "" {
			t.Fatalf("sources (-want +got):\n%s", diff)
		}
	}
}

func TestCanAccept_ConcurrentUpdates(t *testing.T) {
	s := &Secrets{}
	s.Set("kept", asBytes(map[string]string{"webhook.docker-secret": "x"}))
	v := NewVerifier(Config{RequireSecret: true}, s)
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			namespace := fmt.Sprint("changed-", i)
			for range 200 {
				s.Set(namespace, asBytes(map[string]string{"webhook.docker-secret": "y", "token": "y"}))
				s.SetDefaults(asBytes(map[string]string{"webhook.docker-secret": "z"}))
				s.SetNamespaceFilter(func(string) bool { return true })
				s.SetDefaults(nil)
				s.Delete(namespace)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		writers.Wait()
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if !v.CanAccept("docker.io") || v.CanAccept("harbor") {
			t.Fatal("the constant secret is not accepted, or a missing one is")
		}
	}
	if diff := cmp.Diff(secretIndex{"webhook.docker-secret": 1}, s.index); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
}

// CanAccept runs for each request without a type.
func BenchmarkCanAccept(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := &Secrets{}
			for i := range n {
				s.Set(fmt.Sprint("ns-", i), map[string][]byte{"webhook.docker-secret": []byte("x")})
			}
			v := NewVerifier(Config{RequireSecret: true}, s)
			for b.Loop() {
				for _, source := range someSources {
					v.CanAccept(source)
				}
			}
		})
	}
}
