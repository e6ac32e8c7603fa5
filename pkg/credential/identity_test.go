// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
)

func TestVerifier_IdentityOnlyIfAuthenticated(t *testing.T) {
	authenticatedGroups := []string{"system:authenticated"}
	for _, tc := range []struct {
		name    string
		caller  user.Info
		ignored bool // IdentityIsCredential is false
		method  Method
		reason  Reason
	}{
		{
			name: "ServiceAccount",
			caller: &user.DefaultInfo{Name: "system:serviceaccount:ci:deployer",
				Groups: []string{"system:serviceaccounts", "system:authenticated"}},
			method: MethodServiceAccount,
		},
		{name: "user", caller: &user.DefaultInfo{Name: "jane", Groups: authenticatedGroups}, method: MethodUser},
		{name: "node", caller: &user.DefaultInfo{Name: "system:node:a", Groups: authenticatedGroups},
			method: MethodUser},
		{name: "name that only resembles a ServiceAccount",
			caller: &user.DefaultInfo{Name: "x:system:serviceaccount:ci:d", Groups: authenticatedGroups},
			method: MethodUser},
		{name: "nil", caller: nil, reason: ReasonNoCredential},
		{name: "anonymous", caller: &user.DefaultInfo{Name: "system:anonymous",
			Groups: []string{"system:unauthenticated"}}, reason: ReasonNoCredential},
		{name: "anonymous in the authenticated group", caller: &user.DefaultInfo{Name: "system:anonymous",
			Groups: authenticatedGroups}, reason: ReasonNoCredential},
		{name: "in both groups", caller: &user.DefaultInfo{Name: "jane",
			Groups: []string{"system:authenticated", "system:unauthenticated"}}, reason: ReasonNoCredential},
		{name: "in no group", caller: &user.DefaultInfo{Name: "jane"}, reason: ReasonNoCredential},
		{name: "ServiceAccount in no group", caller: &user.DefaultInfo{Name: "system:serviceaccount:ci:deployer"},
			reason: ReasonNoCredential},
		{name: "no name", caller: &user.DefaultInfo{Groups: authenticatedGroups}, reason: ReasonNoCredential},
		{name: "user, identity disabled", caller: &user.DefaultInfo{Name: "jane", Groups: authenticatedGroups},
			ignored: true, reason: ReasonNoCredential},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := NewVerifier(Config{IdentityIsCredential: !tc.ignored, RequireSecret: true}, &Secrets{})
			method, reason := verify(t, v, Attempt{Namespace: namespace, User: tc.caller})
			if method != tc.method || reason != tc.reason {
				t.Errorf("got method %q, reason %q; want %q, %q", method, reason, tc.method, tc.reason)
			}
		})
	}
}

func TestVerifier_IdentityDisabled(t *testing.T) {
	v := NewVerifier(Config{RequireSecret: true}, secretsWith(map[string]string{"token": "t0ken"}))
	jane := &user.DefaultInfo{Name: "jane", Groups: []string{"system:authenticated"}}
	method, reason := verify(t, v, Attempt{Namespace: namespace, User: jane,
		Header: header("X-Webhook-Token", "t0ken")})
	if method != MethodToken || reason != "" {
		t.Errorf("got method %q, reason %q; want %q", method, reason, MethodToken)
	}
}

func TestVerifier_IdentityBeforeWrongSecret(t *testing.T) {
	v := NewVerifier(Config{IdentityIsCredential: true, RequireSecret: true},
		secretsWith(map[string]string{"token": "t0ken"}))
	jane := &user.DefaultInfo{Name: "jane", Groups: []string{"system:authenticated"}}
	method, reason := verify(t, v, Attempt{Namespace: namespace, User: jane,
		Header: header("X-Webhook-Token", "other")})
	if method != MethodUser || reason != "" {
		t.Errorf("got method %q, reason %q; want %q", method, reason, MethodUser)
	}
}
