// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"testing"

	"k8s.io/client-go/rest"

	"postern.dev/postern/pkg/certificate"
)

// The port is never given up: who comes between two servers waits for the next one.
func TestThePortIsHeldUntilItIsTheNextOnes(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	h := &startupServer{options: newTestOptions(t, "data")}
	serving := h.options.recommended.SecureServing
	serving.Listener = port
	serving.ServerCert.GeneratedCert = newServing(t)

	h.start()
	h.start() // changes nothing
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if got := get(t, client, "https://"+port.Addr().String()+path); got != want {
			t.Errorf("%s while the port is held: got %d, want %d", path, got, want)
		}
	}
	h.handOver()
	h.handOver()
	h.start() // comes too late

	early, err := net.Dial("tcp", port.Addr().String())
	if err != nil {
		t.Fatalf("who comes between two servers: %v", err)
	}
	defer early.Close()
	conn, err := port.Accept()
	if err != nil {
		t.Fatalf("the next server: %v", err)
	}
	_ = conn.Close()
}

func TestATurnEndsForWhoeverWaits(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	own := &handoffListener{TCPListener: port.(*net.TCPListener)}
	ended := make(chan error)
	go func() {
		_, err := own.Accept()
		ended <- err
	}()
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got error %v, want that it is closed", err)
	}
}

func newServing(t *testing.T) *certificate.Serving {
	t.Helper()
	follower, _, err := certificate.New(certificate.Config{
		Client:  &rest.Config{Host: "https://127.0.0.1:1"}, // nobody is asked
		Service: certificate.Service{Namespace: "postern-system", Name: "postern"}, SecretName: "postern-ca", APIServiceName: "v1alpha1.postern.dev",
		CAValidity: certificate.DefaultCAValidity, LeafValidity: certificate.DefaultLeafValidity,
	})
	if err != nil {
		t.Fatal(err)
	}
	return follower.Serving
}

func get(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
