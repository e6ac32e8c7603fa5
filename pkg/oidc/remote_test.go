// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/pkg/credential"
)

const remoteConfig = `jwt:
- issuer:
    url: https://issuer.example.com
    audiences: [postern]
  claimMappings:
    username: {claim: sub, prefix: "test:"}
`

// fakeKeys answers fetches without a network.
type fakeKeys struct {
	mu    sync.Mutex
	keys  map[string]keySet // by issuer; others fail
	began []time.Time
	hang  bool
}

func (f *fakeKeys) fetch(ctx context.Context, s source) (keySet, error) {
	f.mu.Lock()
	f.began = append(f.began, time.Now())
	keys, hang := f.keys[s.issuer], f.hang
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if keys == nil {
		return nil, errors.New("unreachable")
	}
	return keys, nil
}

func (f *fakeKeys) set(t testing.TB, signers ...signer) {
	t.Helper()
	keys, err := parseKeySet([]byte(keySetJSON(t, signers...)))
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = map[string]keySet{"https://issuer.example.com": keys}
}

func (f *fakeKeys) fetches() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.began)
}

var remoteClaims = map[string]any{"iss": "https://issuer.example.com", "aud": "postern", "sub": "kim"}

// inBubble runs a test with fake time and keys.
func inBubble(t *testing.T, run func(t *testing.T, v *Verifier, keys *fakeKeys)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		v, err := New(ctx, Dial{})
		if err != nil {
			t.Fatal(err)
		}
		keys := &fakeKeys{}
		v.fetch = keys.fetch
		run(t, v, keys)
	})
}

func reasonOf(rejection *credential.Rejection) credential.Reason {
	if rejection == nil {
		return ""
	}
	return rejection.Reason
}

// The keys are there before the first token, and new ones are found with the first token that names one.
func TestRemote_RotatedKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, keys *fakeKeys) {
		first, second := newSigner(t, "k1"), newSigner(t, "k2")
		keys.set(t, first)
		secrets := secretsWith(v, remoteConfig)
		synctest.Wait()
		if _, rejection := send(t, secrets, first.token(t, remoteClaims)); rejection != nil {
			t.Errorf("the first token: %+v", rejection)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // fake time
		keys.set(t, second)
		_, rejection := send(t, secrets, second.token(t, remoteClaims))
		if reasonOf(rejection) != credential.ReasonKeysUnknown || rejection.RetryAfter != unknownRetry {
			t.Errorf("a new key: %+v, want KeysUnknown and to try again", rejection)
		}
		synctest.Wait()
		if _, rejection := send(t, secrets, second.token(t, remoteClaims)); rejection != nil {
			t.Errorf("the same token again: %+v", rejection)
		}
		if _, rejection := send(t, secrets, first.token(t, remoteClaims)); rejection == nil {
			t.Error("the key that was withdrawn is accepted")
		}
	})
}

// However many tokens name keys that do not exist, the issuer is asked at most once per interval.
func TestRemote_UnknownKeysCauseFewFetches(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, keys *fakeKeys) {
		keys.set(t, newSigner(t, "k1"))
		secrets := secretsWith(v, remoteConfig)
		synctest.Wait()
		start := time.Now()
		for n := range 600 { // a minute
			_, rejection := send(t, secrets, newSigner(t, fmt.Sprint("x", n)).token(t, remoteClaims))
			if r := reasonOf(rejection); r != credential.ReasonKeysUnknown && r != credential.ReasonKeyNotFound {
				t.Fatalf("got %+v", rejection)
			}
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // fake time
		}
		if n, most := keys.fetches(), 1+int(time.Since(start)/minFetchInterval)+1; n > most {
			t.Errorf("the issuer was asked %d times in %s, want at most %d", n, time.Since(start), most)
		}
	})
}

// A key that no newer key set has is refused for good, so that senders do not try forever.
func TestRemote_UnknownKeyIsRefusedAfterFetch(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, keys *fakeKeys) {
		keys.set(t, newSigner(t, "k1"))
		secrets := secretsWith(v, remoteConfig)
		synctest.Wait()
		time.Sleep(time.Minute) //nolint:forbidigo // fake time
		token := newSigner(t, "x").token(t, remoteClaims)
		if _, rejection := send(t, secrets, token); reasonOf(rejection) != credential.ReasonKeysUnknown {
			t.Errorf("at first: %+v", rejection)
		}
		time.Sleep(unknownRetry) //nolint:forbidigo // fake time
		if _, rejection := send(t, secrets, token); reasonOf(rejection) != credential.ReasonKeyNotFound {
			t.Errorf("after the fetch: %+v", rejection)
		}
	})
}

// While an issuer fails, its last keys stay valid for a day.
func TestRemote_FailingIssuer(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, keys *fakeKeys) {
		issuer := newSigner(t, "k1")
		secrets := secretsWith(v, remoteConfig)
		synctest.Wait()
		_, rejection := send(t, secrets, issuer.token(t, remoteClaims))
		if reasonOf(rejection) != credential.ReasonKeysUnknown || rejection.RetryAfter <= 0 {
			t.Errorf("before the keys are known: %+v", rejection)
		}
		keys.set(t, issuer)
		time.Sleep(maxRetry) //nolint:forbidigo // fake time
		if _, rejection := send(t, secrets, issuer.token(t, remoteClaims)); rejection != nil {
			t.Errorf("once the issuer is back: %+v", rejection)
		}
		keys.mu.Lock()
		keys.keys = nil
		keys.mu.Unlock()
		time.Sleep(maxAge - time.Hour) //nolint:forbidigo // fake time
		if _, rejection := send(t, secrets, issuer.token(t, remoteClaims)); rejection != nil {
			t.Errorf("for a day: %+v", rejection)
		}
		time.Sleep(2 * time.Hour) //nolint:forbidigo // fake time
		_, rejection = send(t, secrets, issuer.token(t, remoteClaims))
		if reasonOf(rejection) != credential.ReasonKeysUnknown {
			t.Errorf("after a day: %+v", rejection)
		}
	})
}

// A replaced value ends its fetches; keys that the new one uses too are kept, without another fetch.
func TestRemote_EndsWhenReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, keys *fakeKeys) {
		issuer := newSigner(t, "k1")
		keys.set(t, issuer)
		secrets := secretsWith(v, remoteConfig)
		secrets.Set("other", map[string][]byte{"oidc": []byte(remoteConfig)})
		synctest.Wait()
		for range 10 {
			secrets.Set(namespace, map[string][]byte{"oidc": []byte(remoteConfig), "hmac": []byte("x")})
		}
		synctest.Wait()
		if n := keys.fetches(); n != 1 || v.sources() != 1 {
			t.Errorf("got %d fetches and %d issuers, want 1", n, v.sources())
		}
		if _, rejection := send(t, secrets, issuer.token(t, remoteClaims)); rejection != nil {
			t.Errorf("after the change: %+v", rejection)
		}
		secrets.Delete(namespace)
		secrets.Delete("other")
		for range 10 { // changes of the Secret cause no fetch
			secrets.Set(namespace, map[string][]byte{"oidc": []byte(remoteConfig)})
			secrets.Delete(namespace)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // fake time
		if v.sources() != 0 {
			t.Error("the issuer is still there")
		}
		if n := keys.fetches(); n != 1 {
			t.Errorf("got %d fetches, want none after the end", n)
		}
	})
}

// A namespace with as many hanging issuers as it may have does not keep others from getting their keys.
func TestRemote_HangingIssuersOfOneNamespace(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, keys *fakeKeys) {
		issuer := newSigner(t, "k1")
		keys.set(t, issuer)
		v.fetch = func(ctx context.Context, s source) (keySet, error) {
			if strings.Contains(s.issuer, "hanging") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return keys.fetch(ctx, s)
		}
		hostile := &credential.Secrets{ParseIssuers: v.Parse}
		data := map[string][]byte{}
		for k := range 40 {
			var b strings.Builder
			b.WriteString("jwt:\n")
			for n := range maxIssuers {
				fmt.Fprintf(&b, "- issuer: {url: 'https://hanging.example.com/%d/%d', audiences: [x]}\n", k, n)
			}
			data[fmt.Sprintf("gatewaysyncs.t%d.oidc", k)] = []byte(b.String())
		}
		hostile.Set("hostile", data)
		synctest.Wait()
		most := 16 * maxIssuers // credential allows 16 keys
		if n := v.sources(); n == 0 || n > most {
			t.Errorf("one namespace has %d issuers, want at most %d", n, most)
		}
		secrets := secretsWith(v, remoteConfig)
		synctest.Wait()
		if _, rejection := send(t, secrets, issuer.token(t, remoteClaims)); rejection != nil {
			t.Errorf("another namespace: %+v", rejection)
		}
	})
}

// No token waits for an issuer that hangs, and nothing piles up.
func TestRemote_HangingIssuerStallsNobody(t *testing.T) {
	hanging := make(chan struct{})
	i := startIssuer(t, func(_ *testIssuer, mux *http.ServeMux) {
		mux.HandleFunc("/", func(_ http.ResponseWriter, req *http.Request) {
			select {
			case <-hanging:
			case <-req.Context().Done():
			}
		})
	})
	defer close(hanging)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v, err := New(ctx, i.dial())
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(remoteConfig, "https://issuer.example.com", i.URL, 1)
	config = strings.Replace(config, "    audiences",
		"    certificateAuthority: "+quoteJSON(i.authority)+"\n    audiences", 1)
	secrets := secretsWith(v, config)
	token := newSigner(t, "k1").token(t, but(remoteClaims, map[string]any{"iss": i.URL}))
	_, _ = send(t, secrets, token) // compiles
	before := runtime.NumGoroutine()
	start := time.Now()
	var senders sync.WaitGroup
	for range 300 {
		senders.Go(func() {
			if _, rejection := send(t, secrets, token); reasonOf(rejection) != credential.ReasonKeysUnknown {
				t.Errorf("got %+v", rejection)
			}
		})
	}
	senders.Wait()
	if took := time.Since(start); took > 9*time.Second { // the issuer never answers, and is given up after ten
		t.Errorf("300 tokens took %s", took)
	}
	for runtime.NumGoroutine() > before+10 { // the senders' own end a moment after they are done
		if time.Since(start) > time.Minute {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
	if n := i.requests.Load(); n > 2 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

// sources returns how many issuers are asked for keys.
func (v *Verifier) sources() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.remotes)
}
