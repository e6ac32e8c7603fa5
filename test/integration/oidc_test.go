// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/test/testcluster"
)

const (
	idTokenHeader = "X-Webhook-OIDC-Token"
	issuerURL     = "https://issuer.example.com"
)

func byIDToken(token string) proof { return byToken(idTokenHeader, token) }

// trusted returns an issuer that the namespace trusts under a key.
func (w *world) trusted(key string, more map[string]string) *testcluster.Issuer {
	w.T.Helper()
	issuer := testcluster.NewIssuer(w.T, issuerURL)
	data := map[string]string{key: issuer.Configuration("postern")}
	maps.Copy(data, more)
	w.SetWebhookSecrets(data)
	return issuer
}

func TestOIDC_Delivers(t *testing.T) {
	t.Parallel()
	w := shared.newWorld(t)
	issuer := w.trusted("oidc", nil)
	w.gatewaySync("web")
	w.allow(unauthenticated, "gatewaysyncs")
	anonymous := w.anonymous()
	token := issuer.Token("postern", "kim", nil)
	w.untilAccepted(anonymous, gatewaySyncPath("web"), byIDToken(token))

	got := anonymous.mustPost(t, gatewaySyncPath("web"), `{"ref":"v2.0.0"}`, byIDToken(token)(""), http.StatusAccepted)
	record := w.recordOf(t, got.delivery(t))
	if s := record.Status.Sender; s == nil || s.Name != "postern:oidc:test:kim" || s.Method != "OIDC" {
		t.Errorf("the record has the sender %+v", record.Status.Sender)
	}
	w.checkRequested("web", "v2.0.0", "generic")

	for name, refused := range map[string]string{
		"another audience": issuer.Token("other", "kim", nil),
		"a rule":           issuer.Token("postern", "evil", nil),
		"expired":          issuer.Token("postern", "kim", map[string]any{"exp": 1}),
		"another key":      testcluster.NewIssuer(t, issuerURL).Token("postern", "kim", nil),
		"no token":         "secret",
	} {
		answer := anonymous.mustPost(t, gatewaySyncPath("web"), `{"ref":"v3"}`, byIDToken(refused)(""),
			http.StatusUnauthorized)
		if parts := strings.Split(refused, "."); strings.Contains(string(answer.body), parts[len(parts)-1]+".") ||
			len(parts) == 3 && strings.Contains(string(answer.body), parts[1]) {
			t.Errorf("%s: the answer repeats the token: %s", name, answer.body)
		}
	}
	w.checkRequested("web", "v2.0.0", "generic")
}

// A target with issuers of its own accepts neither the namespace's nor its secrets.
func TestOIDC_OwnKeyOfTarget(t *testing.T) {
	t.Parallel()
	w := shared.newWorld(t)
	own := testcluster.NewIssuer(t, issuerURL)
	secret := newSecret()
	issuer := w.trusted("oidc", map[string]string{
		"gatewaysyncs.web.oidc": own.Configuration("postern"), "hmac": secret,
	})
	w.gatewaySync("web")
	w.gatewaySync("other")
	w.allow(unauthenticated, "gatewaysyncs")
	anonymous := w.anonymous()
	byOwn, byNamespace := byIDToken(own.Token("postern", "kim", nil)), byIDToken(issuer.Token("postern", "kim", nil))
	w.untilAccepted(anonymous, gatewaySyncPath("web"), byOwn)
	anonymous.mustBeRejected(t, "web", byNamespace)
	anonymous.mustBeRejected(t, "web", bySignature(secret))
	anonymous.mustDeliver(t, "other", byNamespace, "OIDC")
	anonymous.mustDeliver(t, "other", bySignature(secret), "HMAC")
	anonymous.mustBeRejected(t, "other", byOwn)
}

// The classic receiver gets a bearer token itself. By type, it reaches the namespaces that trust its issuer.
func TestOIDC_ClassicReceiver(t *testing.T) {
	s, anonymous := newReceiverSuite(t, "*")
	w, stranger := s.newWorld(t), s.newWorld(t)
	issuer := w.trusted("oidc", nil)
	stranger.SetWebhookSecrets(map[string]string{
		"oidc": testcluster.NewIssuer(t, issuerURL).Configuration("postern"),
	})
	w.gatewaySync("web")
	byBearerToken := byBearer(issuer.Token("postern", "kim", nil))
	w.untilAccepted(anonymous, w.syncReceiver("web"), byBearerToken)
	anonymous.mustPost(t, w.syncReceiver("web"), `{"ref":"v2.0.0"}`, byBearerToken(""), http.StatusAccepted)
	w.checkRequested("web", "v2.0.0", "generic")

	const image = "europe-west1-docker.pkg.dev/example/team/shop"
	for _, w := range []*world{w, stranger} {
		w.runningShop("shop", image, "argocd-image-updater.argoproj.io/image-list: shop="+image)
	}
	// {"action": "INSERT", "tag": "europe-west1-docker.pkg.dev/example/team/shop:1.4.1"}
	const body = `{"message":{"data":"eyJhY3Rpb24iOiAiSU5TRVJUIiwgInRhZyI6ICJldXJvcGUtd2VzdDEtZG9ja2Vy` +
		`LnBrZy5kZXYvZXhhbXBsZS90ZWFtL3Nob3A6MS40LjEifQ==","messageId":"1","publishTime":"2026-01-31T09:30:00Z"},` +
		`"subscription":"s"}`
	w.eventually(func() error {
		got, err := anonymous.post(t.Context(), "webhook?type=gar", []byte(body), byBearerToken(""))
		if err == nil && (got.code != http.StatusOK || strings.Count(string(got.body), `"delivery"`) != 1) {
			err = fmt.Errorf("got %d %s, want one delivery", got.code, got.body)
		}
		return err
	})
	w.checkImages("shop", image+":1.4.1")
	if len(stranger.records()) != 0 {
		t.Error("a namespace that does not trust the issuer has a record")
	}
}

// An issuer that hangs delays no sender: not its own, which are told to try again, not those with a signature in
// the same namespace, and no others.
func TestOIDC_HangingIssuer(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted int
	var conns sync.WaitGroup
	conns.Go(func() {
		for { // accepts, and says nothing
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted++
			testcluster.AtEnd(t, conn.Close)
		}
	})
	address := listener.Addr().String()
	s := newSuite(t, "--oidc-issuer-hosts="+address, "--oidc-issuer-networks=127.0.0.0/8")
	w, other := s.newWorld(t), s.newWorld(t)
	issuer := testcluster.NewIssuer(t, "https://"+address)
	secret := newSecret()
	config := strings.Replace(issuer.Configuration("postern"), "  jwks: "+issuer.KeySet()+"\n", "", 1)
	w.SetWebhookSecrets(map[string]string{"oidc": config, "hmac": secret})
	other.secret(map[string]string{"hmac": secret})
	for _, w := range []*world{w, other} {
		w.gatewaySync("web")
		w.allow(unauthenticated, "gatewaysyncs")
		w.untilAccepted(w.anonymous(), gatewaySyncPath("web"), bySignature(secret))
	}
	byTheToken := byIDToken(issuer.Token("postern", "kim", nil))
	w.untilAnswered(http.StatusServiceUnavailable, w.anonymous(), gatewaySyncPath("web"), `{"ref":"v1"}`,
		byTheToken(""))
	const memory = "process_resident_memory_bytes"
	before := w.metrics(t, "")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var senders sync.WaitGroup
	codes := make([]int, 300)
	var slowest time.Duration
	var mu sync.Mutex
	for i := range codes {
		senders.Go(func() {
			start := time.Now()
			got, err := w.anonymous().post(ctx, gatewaySyncPath("web"), []byte(`{"ref":"v1"}`), byTheToken(""))
			if err != nil {
				t.Error(err)
				return
			}
			if got.code == http.StatusServiceUnavailable && got.header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			mu.Lock()
			defer mu.Unlock()
			codes[i], slowest = got.code, max(slowest, time.Since(start))
		})
	}
	var slowestOther time.Duration
	for i := range 20 {
		for _, w := range []*world{w, other} {
			body := fmt.Sprintf(`{"ref":"s%d"}`, i)
			start := time.Now()
			w.anonymous().mustPost(t, gatewaySyncPath("web"), body, signed(secret, body), http.StatusAccepted)
			slowestOther = max(slowestOther, time.Since(start))
		}
	}
	senders.Wait()
	after := w.metrics(t, "")
	count := map[int]int{}
	for _, code := range codes {
		count[code]++
	}
	t.Logf("300 tokens of an issuer that hangs: %v, the slowest in %s; signed meanwhile: the slowest in %s; "+
		"goroutines %.0f, then %.0f; MiB %.0f, then %.0f", count, slowest, slowestOther, before[goroutines],
		after[goroutines], before[memory]/(1<<20), after[memory]/(1<<20))
	if refused := count[http.StatusServiceUnavailable] + count[http.StatusTooManyRequests]; refused != len(codes) {
		t.Errorf("got the codes %v, want 503, or 429 beyond the share of the namespace", count)
	}
	const most = 8 * time.Second // the issuer may take ten
	if slowest > most || slowestOther > most {
		t.Errorf("a delivery waited: %s with a token, %s with a signature", slowest, slowestOther)
	}
	w.untilAsQuietAs(before[goroutines])
	if grown := after[memory] - before[memory]; grown > 256<<20 { // four times what it is without the race detector
		t.Errorf("the memory grew by %.0f MiB", grown/(1<<20))
	}
	_ = listener.Close()
	conns.Wait()
	if accepted > 20 {
		t.Errorf("the issuer was asked %d times", accepted)
	}
}
