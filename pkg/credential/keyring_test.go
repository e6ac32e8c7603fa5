// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestKeyring_KeysApplyToSenderAndTarget(t *testing.T) {
	unordered := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	web := &Target{Resource: "gatewaysyncs", Name: "web"}
	webApplication := &Target{Resource: "applications", Name: "web"}
	for _, tc := range []struct {
		name   string
		data   map[string]string
		source string
		target *Target
		hmac   []string // secrets valid as HMAC key
		token  []string // secrets valid as token
	}{
		{name: "no Secret"},
		{name: "namespace-wide", data: map[string]string{"hmac": "h", "token": "t"}, hmac: []string{"h"},
			token: []string{"t"}},
		{name: "namespace-wide, for a target without a key", data: map[string]string{"hmac": "h", "token": "t"},
			target: web, hmac: []string{"h"}, token: []string{"t"}},
		{name: "source's key is added", data: map[string]string{"hmac": "h", "token": "t",
			"webhook.github-secret": "g"}, source: "github", hmac: []string{"h", "g"}, token: []string{"t", "g"}},
		{name: "source's key is for no other source", data: map[string]string{"webhook.github-secret": "g"},
			source: "gitlab"},
		{name: "source's key is not for an unknown source",
			data: map[string]string{"webhook.github-secret": "g", "webhook.-secret": "x"}},
		{name: "a token's key may be for an unknown source, until that is decoded", data: map[string]string{
			"webhook.argocd-secret": "g", "webhook.harbor-secret": "x"}, token: []string{"g"}},
		{name: "a token's key is for no unknown source at a target with a key", data: map[string]string{
			"webhook.argocd-secret": "g", "gatewaysyncs.web.token": "wt"}, target: web, token: []string{"wt"}},
		{name: "docker.io", data: map[string]string{"webhook.docker-secret": "d", "webhook.docker.io-secret": "x"},
			source: "docker.io", token: []string{"d"}},
		{name: "ghcr.io", data: map[string]string{"webhook.ghcr-secret": "d", "webhook.ghcr.io-secret": "x"},
			source: "ghcr.io", hmac: []string{"d"}, token: []string{"d"}},
		{name: "quay.io", data: map[string]string{"webhook.quay-secret": "d", "webhook.quay.io-secret": "x"},
			source: "quay.io", token: []string{"d"}},
		{name: "harbor", data: map[string]string{"webhook.harbor-secret": "d"}, source: "harbor", token: []string{"d"}},
		{name: "acr", data: map[string]string{"webhook.acr-secret": "d"}, source: "acr", token: []string{"d"}},
		{name: "aliyun-acr", data: map[string]string{"webhook.aliyun-acr-secret": "d"}, source: "aliyun-acr",
			token: []string{"d"}},
		{name: "cloudevents", data: map[string]string{"webhook.cloudevents-secret": "d"}, source: "cloudevents",
			token: []string{"d"}},
		{name: "a git host that does not sign", data: map[string]string{"hmac": "h", "token": "t",
			"webhook.azure-devops-secret": "d"}, source: "azure-devops", token: []string{"t", "d"}},
		{name: "the git keys are not for registries", data: map[string]string{"hmac": "h", "token": "t"},
			source: "ghcr.io"},

		{name: "own keys replace all others",
			data: map[string]string{"hmac": "h", "token": "t", "webhook.github-secret": "g",
				"gatewaysyncs.web.hmac": "wh", "gatewaysyncs.web.token": "wt"}, source: "github", target: web,
			hmac: []string{"wh"}, token: []string{"wt"}},
		{name: "own hmac replaces the token too", data: map[string]string{"hmac": "h", "token": "t",
			"gatewaysyncs.web.hmac": "wh"}, target: web, hmac: []string{"wh"}},
		{name: "own token replaces the hmac too", data: map[string]string{"hmac": "h", "token": "t",
			"gatewaysyncs.web.token": "wt"}, target: web, token: []string{"wt"}},
		{name: "empty own key replaces too", data: map[string]string{"hmac": "h", "token": "t",
			"gatewaysyncs.web.hmac": " \n"}, target: web},
		{name: "own key is for no other target", data: map[string]string{"hmac": "h", "gatewaysyncs.web.hmac": "wh"},
			target: &Target{Resource: "gatewaysyncs", Name: "we"}, hmac: []string{"h"}},
		{name: "own key is not for the same name of the other resource", data: map[string]string{"hmac": "h",
			"gatewaysyncs.web.hmac": "wh"}, target: webApplication, hmac: []string{"h"}},
		{name: "own key is not for a delivery without a target",
			data: map[string]string{"gatewaysyncs.web.hmac": "wh"}},
		{name: "application", data: map[string]string{"applications.web.token": "at"}, target: webApplication,
			token: []string{"at"}},
		{name: "dots in a name", data: map[string]string{"applications.web.eu.hmac": "d", "applications.web.hmac": "x"},
			target: &Target{Resource: "applications", Name: "web.eu"}, hmac: []string{"d"}},
		{name: "name that looks like a key",
			data:   map[string]string{"applications.web.hmac": "x", "applications.web.hmac.token": "d"},
			target: &Target{Resource: "applications", Name: "web.hmac"}, token: []string{"d"}},
		{name: "unknown keys are ignored",
			data: map[string]string{"HMAC": "x", "password": "x", "gatewaysyncs.hmac": "x", "gatewaysyncs.web": "x",
				"gatewaysyncs.web.password": "x", "webhook.github": "x"}, source: "github", target: web},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := NewVerifier(Config{RequireSecret: true}, secretsWith(tc.data))
			var hmac, token []string
			for _, candidate := range []string{"h", "t", "g", "d", "wh", "wt", "at", "x"} {
				a := Attempt{Namespace: namespace, Source: tc.source, Target: tc.target}
				a.Header = header("X-Gitea-Signature", sign(candidate, ""))
				if method, _ := verify(t, v, a); method == MethodHMAC {
					hmac = append(hmac, candidate)
				}
				a.Header = header("X-Webhook-Token", candidate)
				if method, _ := verify(t, v, a); method == MethodToken {
					token = append(token, candidate)
				}
			}
			if diff := cmp.Diff(tc.hmac, hmac, unordered); diff != "" {
				t.Errorf("HMAC keys (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.token, token, unordered); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeyring_OneSecretPerLine(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		want        []string
	}{
		{name: "one", value: "s3cret", want: []string{"s3cret"}},
		{name: "trailing newline", value: "s3cret\n", want: []string{"s3cret"}},
		{name: "trailing newline of Windows", value: "s3cret\r\n", want: []string{"s3cret"}},
		{name: "white space around", value: "\t s3cret  ", want: []string{"s3cret"}},
		{name: "white space within", value: "s3 cret", want: []string{"s3 cret"}},
		{name: "two", value: "new\nold", want: []string{"new", "old"}},
		{name: "two, of Windows", value: "new\r\nold\r\n", want: []string{"new", "old"}},
		{name: "empty lines", value: "\n\nnew\n \n\t\r\nold\n\n", want: []string{"new", "old"}},
		{name: "nothing", value: ""},
		{name: "only white space", value: " \r\n\t\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, s := range newKeyring("demo", map[string][]byte{"hmac": []byte(tc.value)}, nil).secrets["hmac"] {
				got = append(got, string(s.key))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("secrets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeyring_LimitsSecrets(t *testing.T) {
	var value strings.Builder
	for i := range maxSecretsPerKey + 1 {
		fmt.Fprintf(&value, "token-%d\n", i)
	}
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"token": value.String()}))
	for i, want := range map[int]Method{0: MethodToken, maxSecretsPerKey - 1: MethodToken, maxSecretsPerKey: ""} {
		a := Attempt{Namespace: namespace, Header: header("X-Webhook-Token", fmt.Sprintf("token-%d", i))}
		if method, _ := verify(t, v, a); method != want {
			t.Errorf("secret %d: got method %q, want %q", i, method, want)
		}
	}
}

func TestKeyring_CountsSecretsOverLimit(t *testing.T) {
	many := []byte(strings.Repeat("swordfish\n", maxSecretsPerKey) + "\n")
	got := newKeyring("demo", map[string][]byte{
		"hmac": many, "token": append([]byte("one\ntwo\n"), many...), "webhook.quay-secret": []byte("one"),
		"notes": append(many, many...),
	}, nil).unread
	if diff := cmp.Diff(map[string]int{"token": 2}, got); diff != "" {
		t.Errorf("unread (-want +got):\n%s", diff)
	}
}
