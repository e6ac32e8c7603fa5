// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import "testing"

// withDefaults returns the secrets of one namespace, with default secrets.
func withDefaults(own, defaults map[string]string) *Secrets {
	s := &Secrets{}
	if own != nil {
		s.Set(namespace, asBytes(own))
	}
	s.SetDefaults(asBytes(defaults))
	return s
}

func TestDefaults_ApplyWithoutKeyInNamespace(t *testing.T) {
	plant := &Target{Resource: "gatewaysyncs", Name: "plant"}
	for name, tc := range map[string]struct {
		own, defaults map[string]string
		source        string
		target        *Target
		want          bool // whether the default secret "d" is accepted
	}{
		"no Secret in the namespace": {nil, map[string]string{"token": "d"}, "generic", plant, true},
		"a Secret without a key that applies": {map[string]string{"webhook.quay-secret": "q"},
			map[string]string{"token": "d"}, "generic", plant, true},
		"a Secret with unknown keys": {map[string]string{"password": "x"}, map[string]string{"token": "d"},
			"generic", plant, true},
		"the namespace's own token": {map[string]string{"token": "n"}, map[string]string{"token": "d"},
			"generic", plant, false},
		"the namespace's own token, empty": {map[string]string{"token": ""}, map[string]string{"token": "d"},
			"generic", plant, false},
		"the namespace's own key of other kind": {map[string]string{"hmac": "n"}, map[string]string{"token": "d"},
			"generic", plant, false},
		"the namespace's own key of the source": {map[string]string{"webhook.github-secret": "n"},
			map[string]string{"token": "d"}, "github", plant, false},
		"that key, empty": {map[string]string{"webhook.github-secret": "\n"},
			map[string]string{"token": "d"}, "github", plant, false},
		"a default of the source, own shared": {map[string]string{"hmac": "n"},
			map[string]string{"webhook.github-secret": "d"}, "github", plant, false},
		"a default of the source": {nil, map[string]string{"webhook.github-secret": "d"}, "github", plant,
			true},
		"a default of another source": {nil, map[string]string{"webhook.gitlab-secret": "d"}, "github", plant,
			false},
		"a registry, by its default": {nil, map[string]string{"webhook.docker-secret": "d"}, "docker.io",
			plant, true},
		"a registry, its default and git keys": {map[string]string{"hmac": "n", "token": "n"},
			map[string]string{"webhook.docker-secret": "d"}, "docker.io", plant, true},
		"a registry, its own key": {map[string]string{"webhook.docker-secret": "n"},
			map[string]string{"webhook.docker-secret": "d"}, "docker.io", plant, false},
		"a registry, its own key, empty": {map[string]string{"webhook.docker-secret": ""},
			map[string]string{"webhook.docker-secret": "d"}, "docker.io", plant, false},
		"a registry, by the default of git": {nil, map[string]string{"token": "d"}, "docker.io", plant, false},
		"a target with its own key": {map[string]string{"gatewaysyncs.plant.hmac": "p"},
			map[string]string{"token": "d"}, "generic", plant, false},
		"a target with its own key, empty": {map[string]string{"gatewaysyncs.plant.token": ""},
			map[string]string{"token": "d"}, "generic", plant, false},
		"another target's own key": {map[string]string{"gatewaysyncs.other.hmac": "p"},
			map[string]string{"token": "d"}, "generic", plant, true},
		"a default key of a target": {nil, map[string]string{"gatewaysyncs.plant.token": "d"}, "generic",
			plant, false},
		"no target, a key of one": {map[string]string{"gatewaysyncs.plant.hmac": "p"},
			map[string]string{"token": "d"}, "generic", nil, true},
		"an unknown sender": {nil, map[string]string{"token": "d"}, "", plant, true},
		"an unknown sender, a sender's own key": {map[string]string{"webhook.github-secret": "n"},
			map[string]string{"token": "d"}, "", plant, true},
		"an unknown sender, own token": {map[string]string{"token": "n"}, map[string]string{"token": "d"}, "",
			plant, false},
		"an empty default":                    {nil, map[string]string{"token": ""}, "generic", plant, false},
		"one of several lines of the default": {nil, map[string]string{"token": "old\nd\n"}, "generic", plant, true},
		"no secret at all":                    {nil, nil, "generic", plant, false},
		"a source's default and a shared one": {nil, map[string]string{"token": "x", "webhook.github-secret": "d"},
			"github", plant, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(Config{RequireSecret: true}, withDefaults(tc.own, tc.defaults))
			method, reason := verify(t, v, Attempt{
				Namespace: namespace, Source: tc.source, Target: tc.target, Header: header("X-Webhook-Token", "d"),
			})
			if got := method == MethodToken; got != tc.want {
				t.Errorf("got method %q, reason %q; want accepted: %t", method, reason, tc.want)
			}
		})
	}
}

func TestDefaults_NamespaceSecretAlsoApplies(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true},
		withDefaults(map[string]string{"hmac": "n"}, map[string]string{"hmac": "d"}))
	for secret, want := range map[string]Method{"n": MethodHMAC, "d": ""} {
		method, _ := verify(t, v, Attempt{
			Namespace: namespace, Source: "github", Header: header("X-Hub-Signature-256", "sha256="+sign(secret, "x")),
			Body: []byte("x"),
		})
		if method != want {
			t.Errorf("secret %q: got %q, want %q", secret, method, want)
		}
	}
}

func TestDefaults_AreReplacedTogether(t *testing.T) {
	s := withDefaults(nil, map[string]string{"token": "old", "hmac": "old"})
	data := asBytes(map[string]string{"token": "new"})
	s.SetDefaults(data)
	copy(data["token"], "xxx")
	if !accepts(t, s, namespace, "new") || accepts(t, s, namespace, "old") {
		t.Error("the secret was not replaced")
	}
	if n := len(s.defaults.secrets); n != 1 {
		t.Errorf("got %d default keys, want 1", n)
	}
	s.SetDefaults(nil)
	if accepts(t, s, namespace, "new") {
		t.Error("a removed default is accepted")
	}
}

func TestRequireSecret_OffButDefaultConfigured(t *testing.T) {
	for name, tc := range map[string]struct {
		own, defaults map[string]string
		source        string
		open          bool
	}{
		"none":                           {nil, nil, "github", true},
		"a default for all":              {nil, map[string]string{"token": "d"}, "github", false},
		"a default for all, a registry":  {nil, map[string]string{"token": "d"}, "quay.io", true},
		"an empty default":               {nil, map[string]string{"token": ""}, "github", false},
		"a default of the source":        {nil, map[string]string{"webhook.quay-secret": "d"}, "quay.io", false},
		"a default of another":           {nil, map[string]string{"webhook.quay-secret": "d"}, "docker.io", true},
		"own for the source, no default": {map[string]string{"webhook.quay-secret": "n"}, nil, "quay.io", false},
		"own for a target, a default": {map[string]string{"gatewaysyncs.plant.hmac": "p"},
			map[string]string{"webhook.quay-secret": "d"}, "docker.io", false},
		"own for another, default the same": {map[string]string{"webhook.quay-secret": "n"},
			map[string]string{"webhook.quay-secret": "d"}, "docker.io", true},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(Config{}, withDefaults(tc.own, tc.defaults))
			method, reason := verify(t, v, Attempt{Namespace: namespace, Source: tc.source})
			if got := method == MethodNone; got != tc.open {
				t.Errorf("got method %q, reason %q; want accepted without a credential: %t", method, reason, tc.open)
			}
		})
	}
}

func TestMethodsFor_DefaultSecrets(t *testing.T) {
	for name, tc := range map[string]struct {
		own, defaults map[string]string
		source        string
		want          bool
	}{
		"none":                                {nil, nil, "github", false},
		"a default for all":                   {nil, map[string]string{"hmac": "d"}, "github", true},
		"a default that the sender can't use": {nil, map[string]string{"token": "d"}, "github", false},
		"closed by an empty key": {map[string]string{"hmac": ""}, map[string]string{"hmac": "d"}, "github",
			false},
		"closed by a key it can't use": {map[string]string{"token": "n"}, map[string]string{"hmac": "d"},
			"github", false},
		"own and default": {map[string]string{"hmac": "n"}, map[string]string{"hmac": "d"},
			"github", true},
		"a registry's default": {nil, map[string]string{"webhook.harbor-secret": "d"}, "harbor", true},
		"a registry, closed": {map[string]string{"webhook.harbor-secret": ""},
			map[string]string{"webhook.harbor-secret": "d"}, "harbor", false},
		"a registry, the default of git": {nil, map[string]string{"hmac": "d", "token": "d"}, "harbor", false},
		"own of another source": {map[string]string{"webhook.quay-secret": "n"},
			map[string]string{"token": "d"}, "gitlab", true},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(Config{RequireSecret: true}, withDefaults(tc.own, tc.defaults))
			if got := v.MethodsFor(namespace, tc.source).HasSecret; got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}
