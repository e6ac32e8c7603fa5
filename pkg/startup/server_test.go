// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package startup

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/util/cert"
)

// A client that connects between two servers waits for the next one.
func TestStartupServer_HoldsPortUntilHandoff(t *testing.T) {
	h, port := newTestServer(t)

	h.start()
	h.start() // a no-op
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if got := get(t, client, "https://"+port.Addr().String()+path); got != want {
			t.Errorf("%s from the startup server: got %d, want %d", path, got, want)
		}
	}
	h.handOver()
	h.handOver()
	h.start() // a no-op after handOver

	early, err := net.Dial("tcp", port.Addr().String())
	if err != nil {
		t.Fatalf("could not connect between two servers: %v", err)
	}
	defer early.Close()
	conn, err := port.Accept()
	if err != nil {
		t.Fatalf("the next server could not accept: %v", err)
	}
	_ = conn.Close()
}

// The next server can accept even if the startup server is stopped before it calls Accept.
func TestStartupServer_HandoffRightAfterStart(t *testing.T) {
	for range 20 {
		h, port := newTestServer(t)
		h.start()
		h.handOver()
		if err := port.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		early, err := net.Dial("tcp", port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := port.Accept()
		if err != nil {
			t.Fatalf("the next server could not accept: %v", err)
		}
		_, _, _ = conn.Close(), early.Close(), port.Close()
	}
}

func TestHandoffListener_CloseEndsAccept(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	listener := &handoffListener{TCPListener: port.(*net.TCPListener)}
	acceptErr := make(chan error)
	go func() {
		_, err := listener.Accept()
		acceptErr <- err
	}()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-acceptErr; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got error %v, want %v", err, net.ErrClosed)
	}
}

// newTestServer returns a server on a new port, and the port's listener, on which the next server accepts.
func newTestServer(t *testing.T) (*server, *net.TCPListener) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	serving := genericoptions.NewSecureServingOptions()
	serving.BindPort, serving.Listener = 0, listener
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("localhost", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	serving.ServerCert.GeneratedCert, err = dynamiccertificates.NewStaticCertKeyContent("test", certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &server{serving: serving}, listener.(*net.TCPListener)
}

func get(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
