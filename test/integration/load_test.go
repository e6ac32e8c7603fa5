// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

const (
	loadRequests = 300
	loadClients  = 16
)

// newDialer returns a new dial function, so that a client has its own connections.
func newDialer() func(context.Context, string, string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 30 * time.Second}).DialContext
}

// flood posts n deliveries with bounded concurrency, and returns the answers in the order of their numbers.
func flood(t *testing.T, n, atATime int, post func(i int) (answer, error)) []answer {
	t.Helper()
	answers, errs := make([]answer, n), make([]error, n)
	next := make(chan int)
	var clients sync.WaitGroup
	for range atATime {
		clients.Go(func() {
			for i := range next {
				answers[i], errs[i] = post(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	clients.Wait()

	codes := map[int]int{}
	for i, got := range answers {
		if errs[i] != nil {
			t.Errorf("request %d got no answer: %v", i, errs[i])
			continue
		}
		codes[got.code]++
		if got.code != http.StatusAccepted && codes[got.code] <= 3 {
			t.Errorf("request %d got %d: %s", i, got.code, got.body)
		}
	}
	if got := codes[http.StatusAccepted]; got != n {
		t.Fatalf("got %d times 202, want %d; codes: %v", got, n, codes)
	}
	return answers
}

// This fails if Postern serves HTTP/2 and closes the connection after an anonymous request, the framework's default:
// the kube-apiserver shares that connection among all callers. Over HTTP/1.1, Postern's default, each request in flight
// has its own.
func TestLoad_SignedAnonymousToManyTargets(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) { testFlood(t, proto, 50) })
	}
}

func TestLoad_SignedAnonymousToOneTarget(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) { testFlood(t, proto, 1) })
	}
}

func testFlood(t *testing.T, proto string, targets int) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))
	for i := range targets {
		w.gatewaySync(fmt.Sprintf("target-%d", i))
	}
	anonymous = anonymous.speaking(t, w, proto)
	refs := map[string][]string{} // requested refs by target

	start := time.Now()
	answers := flood(t, loadRequests, loadClients, func(i int) (answer, error) {
		body := fmt.Sprintf(`{"ref":"v%d"}`, i)
		return anonymous.post(t.Context(), gatewaySyncPath(fmt.Sprintf("target-%d", i%targets)), []byte(body),
			signed(secret, body))
	})
	t.Logf("%d deliveries to %d targets in %s", loadRequests, targets, time.Since(start).Round(time.Millisecond))

	phases := map[v1alpha1.DeliveryPhase]int{}
	for i, got := range answers {
		d := got.returned(t)
		phases[d.Status.Phase]++
		name := fmt.Sprintf("target-%d", i%targets)
		refs[name] = append(refs[name], fmt.Sprintf("v%d", i))
	}
	if done := phases[v1alpha1.DeliveryApplied] + phases[v1alpha1.DeliverySuperseded]; done != loadRequests ||
		phases[v1alpha1.DeliveryApplied] == 0 {
		t.Errorf("got phases %v, want Applied, or Superseded by another", phases)
	}
	if got := len(w.records()); got != loadRequests {
		t.Errorf("got %d records, want %d", got, loadRequests)
	}
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		if got := w.annotations(gatewaySyncs, name)[requestedRef]; !slices.Contains(refs[name], got) {
			t.Errorf("%s has %q, which no sender requested", name, got)
		}
	}
}
