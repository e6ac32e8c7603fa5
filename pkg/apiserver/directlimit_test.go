// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

func credentialNumber(i int) credentialID { return credentialID{byte(i), byte(i >> 8), byte(i >> 16)} }

// taken counts how many of n requests are allowed, each with its own credential and from its own or a shared address.
func taken(l *directLimit, n int, credential func(int) credentialID, address func(int) string) (count int) {
	for i := range n {
		if l.allow(credential(i), address(i)) {
			count++
		}
	}
	return count
}

func same(id int) func(int) credentialID {
	return func(int) credentialID { return credentialNumber(id) }
}

func at(address string) func(int) string { return func(int) string { return address } }

func each(i int) string { return fmt.Sprintf("10.0.%d.%d", i>>8, i&255) }

func TestDirectLimit_BoundsReviewsOfUnknownCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newDirectLimit(10)
		if got := taken(l, 1000, credentialNumber, each); got != 20 {
			t.Errorf("%d of 1000 concurrent tokens from 1000 addresses were allowed, want twice the rate, 20", got)
		}
		<-time.After(time.Second)
		if got := taken(l, 1000, credentialNumber, each); got != 10 {
			t.Errorf("%d were allowed a second later, want the rate, 10", got)
		}
	})
}

func TestDirectLimit_AddressHasShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newDirectLimit(8)
		if got := taken(l, 1000, credentialNumber, at("10.0.0.1")); got != 8 {
			t.Errorf("%d concurrent requests of one address were allowed, want the rate, 8", got)
		}
		if !l.allow(credentialNumber(5000), "10.0.0.2") {
			t.Error("another address was refused")
		}
		<-time.After(time.Second)
		if got := taken(l, 1000, credentialNumber, at("10.0.0.1")); got != 2 {
			t.Errorf("%d were allowed a second later, want a quarter of the rate, 2", got)
		}
	})
}

func TestDirectLimit_KnownCredentialIsNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newDirectLimit(10)
		prometheus := credentialNumber(1 << 20)
		if !l.allow(prometheus, "10.0.0.1") {
			t.Fatal("the first request was refused")
		}
		l.markAuthorized(prometheus, serviceAccount("monitoring", "prometheus"))
		for range 60 {
			taken(l, 1000, credentialNumber, each)
			if !l.allow(prometheus, "10.0.0.1") {
				t.Fatal("an accepted credential was refused while others were tried")
			}
			<-time.After(time.Second)
		}
		if got := taken(l, 1000, same(1<<20), at("10.0.0.1")); got > 10 {
			t.Errorf("an accepted credential was allowed %d times at once, want at most the rate, 10", got)
		}
	})
}

func serviceAccount(namespace, name string) user.Info {
	return &user.DefaultInfo{Name: serviceaccount.MakeUsername(namespace, name)}
}

func TestDirectLimit_CallerHasShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newDirectLimit(10)
		prometheus := credentialNumber(1 << 20)
		l.markAuthorized(prometheus, serviceAccount("monitoring", "prometheus"))
		for i := range 1000 { // the tokens of many ServiceAccounts in one namespace
			l.markAuthorized(credentialNumber(i), serviceAccount("demo", fmt.Sprint(i)))
		}
		newest := func(i int) credentialID { return credentialNumber(999 - i%maxCredentials) }
		if got := taken(l, 100, newest, at("10.0.0.2")); got != 10 {
			t.Errorf("%d concurrent requests with many credentials were allowed, want a share, 10", got)
		}
		if l.limitOf(prometheus) == nil {
			t.Error("another caller was evicted")
		}
		if !l.allow(prometheus, "10.0.0.1") {
			t.Error("another caller was refused")
		}
	})
}

func TestDirectLimit_TokenSpellings(t *testing.T) {
	for authorization, want := range map[string]string{
		"Bearer x": "x", "bearer x": "x", " BEARER x and more": "x", "Bearer x 1": "x",
		"": "", "x": "", "Bearer": "", "Bearer  x": "", "Basic x": "",
	} {
		if got := bearerToken(http.Header{"Authorization": {authorization}}); got != want {
			t.Errorf("%q: got %q, want %q", authorization, got, want)
		}
	}
}

func TestDirectLimit_MemoryIsBounded(t *testing.T) {
	l := newDirectLimit(10_000)
	for i := range 10_000 {
		l.markAuthorized(credentialNumber(i), &user.DefaultInfo{Name: fmt.Sprint("user-", i/10)})
		l.allow(credentialNumber(i+1<<20), each(i))
	}
	if l.callers.Len() > maxKnownCallers || len(l.credentials) > maxKnownCallers*maxCredentials ||
		l.addresses.Len() > maxAddresses {
		t.Errorf("%d callers, %d credentials and %d addresses are remembered", l.callers.Len(), len(l.credentials),
			l.addresses.Len())
	}
}
