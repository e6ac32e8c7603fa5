// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
)

const mebibyte = 1 << 20

// speaking returns the sender as a client of proto, "HTTP/1.1" or "HTTP/2.0", with its own connections.
func (s sender) speaking(t *testing.T, w *world, proto string) sender {
	t.Helper()
	config, err := w.AnonymousConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = []string{"h2"}
	if proto == "HTTP/1.1" {
		config.NextProtos = []string{"http/1.1"}
	}
	// Clients with equal configurations share connections. A new dialer prevents that.
	config.Dial = newDialer()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	client.Transport = mustSpeak{client.Transport, proto}
	s.Client = client
	t.Cleanup(client.CloseIdleConnections)
	return s
}

// mustSpeak rejects answers of another protocol version.
type mustSpeak struct {
	http.RoundTripper
	proto string
}

func (m mustSpeak) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := m.RoundTripper.RoundTrip(req)
	if err == nil && resp.Proto != m.proto {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the answer is %s, want %s", resp.Proto, m.proto)
	}
	return resp, err
}

// padded returns a body of the given size that requests a ref. It is padded in a string, or with white space.
func padded(size int, inString bool) string {
	const start, end = `{"ref":"v1","x":"`, `"}`
	if inString {
		return start + strings.Repeat("x", size-len(start+end)) + end
	}
	return anyBody + strings.Repeat(" ", size-len(anyBody))
}

// bodyOf returns a reader of a body. If sized is false the client does not know the length and sends chunks.
func bodyOf(body string, sized bool) io.Reader {
	if sized {
		return strings.NewReader(body)
	}
	return struct{ io.Reader }{strings.NewReader(body)}
}

// forEachWay runs a test with sized and chunked bodies over each HTTP version.
func forEachWay(t *testing.T, w *world, s sender, run func(t *testing.T, s sender, sized bool)) {
	t.Helper()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, sized := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s sized=%t", proto, sized),
				func(t *testing.T) { run(t, s.speaking(t, w, proto), sized) })
		}
	}
}

func TestBody_AtLimit(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	forEachWay(t, w, releaser, func(t *testing.T, s sender, sized bool) {
		for _, inString := range []bool{true, false} {
			got, err := s.send(t.Context(), http.MethodPost, gatewaySyncPath("web"),
				bodyOf(padded(mebibyte, inString), sized), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.code != http.StatusAccepted {
				t.Fatalf("got %d, want 202: %s", got.code, got.body)
			}
			if d := got.delivery(t); d.Status.Phase != v1alpha1.DeliveryApplied || d.Status.Payload.Bytes != mebibyte {
				t.Errorf("got phase %s of %d bytes, want Applied of 1 MiB", d.Status.Phase, d.Status.Payload.Bytes)
			}
		}
	})
}

func TestBody_OverLimit(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	before := w.Get(gatewaySyncs, "web")
	for _, size := range []int{mebibyte + 1, 2 * mebibyte, 20 * mebibyte} {
		body := padded(size, true)
		forEachWay(t, w, releaser, func(t *testing.T, s sender, sized bool) {
			got, err := s.send(t.Context(), http.MethodPost, gatewaySyncPath("web"), bodyOf(body, sized), nil)
			if err != nil {
				t.Fatalf("%d bytes: no answer: %v", size, err)
			}
			if got.code != http.StatusRequestEntityTooLarge {
				t.Fatalf("%d bytes: got %d, want 413: %s", size, got.code, got.body)
			}
			status := got.status(t)
			if status.Reason != metav1.StatusReasonRequestEntityTooLarge ||
				!strings.Contains(status.Message, "--max-payload-bytes") {
				t.Errorf("%d bytes: got %+v, want RequestEntityTooLarge that names --max-payload-bytes", size, status)
			}
		})
	}
	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords()
}

func TestBody_Truncated(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	before := w.Get(gatewaySyncs, "web")
	forEachWay(t, w, releaser, func(t *testing.T, s sender, _ bool) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		// The part received by then is a complete delivery.
		body := io.MultiReader(strings.NewReader(anyBody), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, context.Canceled
		}))
		if got, err := s.send(ctx, http.MethodPost, gatewaySyncPath("web"), body, nil); err == nil {
			t.Errorf("got %d, want an error: %s", got.code, got.body)
		}
	})
	releaser.mustPost(t, gatewaySyncPath("web"), useless, nil, http.StatusBadRequest)
	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
