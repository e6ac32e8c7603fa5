// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const goroutines = "go_goroutines"

// untilAsQuietAs waits until Postern's number of goroutines is about as low as before, except for idle connections.
func (w *world) untilAsQuietAs(before float64) {
	w.T.Helper()
	const idle = 60
	w.eventually(func() error {
		if now := w.metrics(w.T, goroutines)[goroutines]; now > before+idle {
			return fmt.Errorf("there are %.0f goroutines, want about %.0f as before", now, before)
		}
		return nil
	})
}

func TestLimits_SlowSenders(t *testing.T) {
	const atOnce = 100
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", http2), func(t *testing.T) {
			s := newSuite(t, "--payload-timeout=2s", fmt.Sprintf("--disable-http2-serving=%t", !http2))
			w := s.newWorld(t)
			w.gatewaySync("web")
			ci := w.ci()
			ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"before"}`, nil, http.StatusAccepted)
			before := w.metrics(t, goroutines)[goroutines]

			t.Run("past it", func(t *testing.T) {
				w := w.in(t)
				for _, conn := range halfSentPast(t, w, atOnce) {
					mustEndRefused(t, conn)
				}
				w.untilAsQuietAs(before)
			})
			t.Run("leave room for others", func(t *testing.T) {
				w := w.in(t)
				secret := newSecret()
				w.secret(map[string]string{"hmac": secret})
				w.allow(unauthenticated, "gatewaysyncs")
				anonymous := w.anonymous()
				w.untilAccepted(anonymous, gatewaySyncPath("web"), bySignature(secret))
				flood(t, loadRequests, loadClients, func(i int) (answer, error) {
					body := fmt.Sprintf(`{"ref":"v%d"}`, i)
					return anonymous.post(t.Context(), gatewaySyncPath("web"), []byte(body), signed(secret, body))
				})
				w.untilAsQuietAs(before)
			})
			t.Run("through the kube-apiserver", func(t *testing.T) {
				w := w.in(t)
				// Over HTTP/1.1 the kube-apiserver delays the answer until the sender has sent everything or
				// disconnected.
				anonymous := w.anonymous().speaking(t, w, "HTTP/2.0")
				var half []*halfSent
				for i := range atOnce {
					half = append(half, anonymous.sendHalf(t, gatewaySyncPath("web"), "lost", i%2 == 0))
				}
				ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"meanwhile"}`, nil, http.StatusAccepted)
				w.untilAsQuietAs(before)
				if http2 { // the kube-apiserver delays its answers for a minute
					return
				}
				for _, h := range half {
					h.mustHaveTimedOut()
				}
			})
		})
	}
}

func (h *halfSent) mustHaveTimedOut() {
	h.t.Helper()
	got := <-h.answer
	if got.code != http.StatusGatewayTimeout {
		h.t.Fatalf("got %d, want 504: %s", got.code, got.body)
	}
	if status := got.status(h.t); status.Reason != metav1.StatusReasonTimeout ||
		!strings.Contains(status.Message, "--payload-timeout") {
		h.t.Fatalf("got %+v, want a Timeout that names --payload-timeout", status)
	}
}

// halfSentPast returns direct connections to Postern, each with half a request of an unauthenticated sender.
func halfSentPast(t *testing.T, w *world, n int) []*tls.Conn {
	t.Helper()
	config, err := rest.TLSConfigFor(w.postern.DirectConfig())
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates, config.GetClientCertificate, config.NextProtos = nil, nil, nil
	var conns []*tls.Conn
	for range n {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(w.postern.Address(), "https://"), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		path := "/apis/postern.dev/v1alpha1/namespaces/" + w.Namespace + "/" + gatewaySyncPath("web")
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf",
			path); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// mustEndRefused fails the test unless the request is rejected and the connection closed.
func mustEndRefused(t *testing.T, conn *tls.Conn) {
	t.Helper()
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if closeErr := resp.Body.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d, want 401 or 403", resp.StatusCode)
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
}
