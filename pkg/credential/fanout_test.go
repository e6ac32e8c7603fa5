// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"
)

// threeNamespaces returns the secrets of three namespaces: a has its own, b has an empty key, and c has none.
func threeNamespaces(defaults map[string]string) *Secrets {
	s := &Secrets{}
	s.Set("a", asBytes(map[string]string{"webhook.docker-secret": "of-a"}))
	s.Set("b", asBytes(map[string]string{"webhook.docker-secret": ""}))
	s.SetDefaults(asBytes(defaults))
	return s
}

func TestVerifyInNamespaces(t *testing.T) {
	abc := []string{"a", "b", "c"}
	for name, tc := range map[string]struct {
		defaults   map[string]string
		open       bool // RequireSecret is false
		namespaces []string
		presented  string
		want       []Acceptance
		reason     Reason
	}{
		"a namespace's own": {nil, false, abc, "of-a", []Acceptance{{"a", Proof{Method: MethodQueryToken}}}, ""},
		"the default": {map[string]string{"webhook.docker-secret": "d"}, false, abc, "d",
			[]Acceptance{{"c", Proof{Method: MethodQueryToken}}}, ""},
		"the default, no namespace for it": {map[string]string{"webhook.docker-secret": "d"}, false, []string{"a", "b"},
			"d", nil, ReasonTokenMismatch},
		"the default, no namespace at all": {map[string]string{"webhook.docker-secret": "d"}, false, nil, "d", nil, ""},
		"a wrong one, no namespace at all": {map[string]string{"webhook.docker-secret": "d"}, false, nil, "x", nil,
			ReasonTokenMismatch},
		"the same in a and as default": {map[string]string{"webhook.docker-secret": "of-a"}, false, abc, "of-a",
			[]Acceptance{{"a", Proof{Method: MethodQueryToken}}, {"c", Proof{Method: MethodQueryToken}}}, ""},
		"a wrong one":        {nil, false, abc, "x", nil, ReasonTokenMismatch},
		"no credential":      {nil, false, abc, "", nil, ReasonNoCredential},
		"no secret anywhere": {nil, false, []string{"c"}, "x", nil, ReasonNoSecretConfigured},
		"the default of another sender": {map[string]string{"webhook.quay-secret": "d"}, false, abc, "d", nil,
			ReasonTokenMismatch},
		"nothing required, no credential": {nil, true, abc, "", []Acceptance{{"c", Proof{Method: MethodNone}}}, ""},
		"nothing required, a default": {map[string]string{"webhook.docker-secret": "d"}, true, abc, "", nil,
			ReasonNoCredential},
		"nothing required, no namespace": {nil, true, nil, "", nil, ""},
		"nothing required, own secret for one": {nil, true, abc, "of-a",
			[]Acceptance{{"a", Proof{Method: MethodQueryToken}}, {"c", Proof{Method: MethodNone}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(Config{RequireSecret: !tc.open, IdentityIsCredential: true}, threeNamespaces(tc.defaults))
			got, err := v.VerifyInNamespaces(t.Context(), tc.namespaces,
				Attempt{Source: "docker.io", QuerySecret: tc.presented})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("accepted (-want +got):\n%s", diff)
			}
			var reason Reason
			if rejection, ok := errors.AsType[*Rejection](err); ok {
				reason = rejection.Reason
			}
			if reason != tc.reason {
				t.Errorf("got reason %q, want %q", reason, tc.reason)
			}
		})
	}
}

// RBAC has not authorized the caller for any of the namespaces.
func TestVerifyInNamespaces_IgnoresIdentity(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true, IdentityIsCredential: true}, threeNamespaces(nil))
	known := &user.DefaultInfo{Name: "system:serviceaccount:ci:release", Groups: []string{user.AllAuthenticated}}
	if got, err := v.VerifyInNamespaces(t.Context(), []string{"a", "c"},
		Attempt{Source: "docker.io", User: known}); err == nil {
		t.Errorf("got %v, want a rejection", got)
	}
}

// The key of one target is not accepted for a namespace.
func TestVerifyInNamespaces_IgnoresTargetKeys(t *testing.T) {
	s := &Secrets{}
	s.Set("a", asBytes(map[string]string{"gatewaysyncs.plant.token": "p"}))
	v := NewVerifier(Config{RequireSecret: true}, s)
	a := Attempt{Source: "generic", Header: header("X-Webhook-Token", "p"),
		Target: &Target{"gatewaysyncs", "plant"}}
	if got, err := v.VerifyInNamespaces(t.Context(), []string{"a"}, a); err == nil {
		t.Errorf("got %v, want a rejection", got)
	}
}

func TestCanAccept(t *testing.T) {
	for name, tc := range map[string]struct {
		defaults   map[string]string
		open       bool
		source     string
		namespaces []string
		want       bool
	}{
		"in a namespace":       {nil, false, "docker.io", []string{"c", "a"}, true},
		"in another namespace": {nil, false, "docker.io", []string{"c"}, false},
		"an empty key":         {nil, false, "docker.io", []string{"b"}, false},
		"by default":           {map[string]string{"webhook.docker-secret": "d"}, false, "docker.io", nil, true},
		"an empty default": {map[string]string{"webhook.docker-secret": ""}, false, "docker.io", []string{"c"},
			false},
		"by another's default":      {map[string]string{"token": "d"}, false, "docker.io", []string{"c"}, false},
		"a git host by the default": {map[string]string{"token": "d"}, false, "github", []string{"c"}, true},
		"nothing required":          {nil, true, "harbor", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := threeNamespaces(tc.defaults)
			secrets.SetNamespaceFilter(func(namespace string) bool { return slices.Contains(tc.namespaces, namespace) })
			if got := NewVerifier(Config{RequireSecret: !tc.open}, secrets).CanAccept(tc.source); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

func TestVerifyInNamespaces_StopsWhenCanceled(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true}, &Secrets{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.VerifyInNamespaces(ctx, []string{"a"}, Attempt{Source: "docker.io"}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}
