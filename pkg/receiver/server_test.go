// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func synced() bool { return true }

func TestServer_PlainHTTPWithoutCertificates(t *testing.T) {
	server := startServer(t, ServerConfig{})
	if got := get(t, &http.Transport{}, "http://"+server.address); got != "HTTP/1.1" {
		t.Errorf("got %s", got)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	if resp, err := client.Get("http://" + server.address); err == nil {
		_ = resp.Body.Close()
		t.Errorf("HTTP/2 is served without TLS: %s", resp.Proto)
	}
	if _, err := server.connect(&tls.Config{}); err == nil {
		t.Error("TLS is served")
	}
}

func TestServer_PlainRequestToTLS(t *testing.T) {
	server := startTLSServer(t, pairFiles(t))
	resp, err := http.Get("http://" + server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s", resp.Status)
	}
}

func TestServer_TakenPortIsError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ended := false
	server := NewServer(
		ServerConfig{Address: taken.Addr().String(), SecretsSynced: synced, OnStopped: func() { ended = true }})
	err = server.Start(t.Context())
	want := "could not listen for webhooks on " + taken.Addr().String() + " (--webhook-bind-address, --webhook-port): "
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want %s…", err, want)
	}
	if !ended {
		t.Error("OnStopped was not called")
	}
}

func TestServer_PortIsShared(t *testing.T) {
	first := NewServer(ServerConfig{Address: "127.0.0.1:0", SharePort: true})
	listener, err := first.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	second := NewServer(ServerConfig{Address: listener.Addr().String(), SharePort: true})
	again, err := second.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

func TestServer_WaitsForSecrets(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int32
	unsynced := func() bool {
		if asked.Add(1) == 3 {
			cancel()
		}
		return false
	}
	// Listening would be an error.
	if err := NewServer(ServerConfig{Address: taken.Addr().String(), SecretsSynced: unsynced}).Start(ctx); err != nil {
		t.Error(err)
	}
	if asked.Load() < 3 {
		t.Errorf("it was asked %d times", asked.Load())
	}
}

func TestServer_ShutdownAnswersAndCloses(t *testing.T) {
	entered, leave := make(chan context.Context), make(chan struct{})
	server := startServer(t, ServerConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		entered <- req.Context()
		<-leave
	})})
	recorder := make(chan *http.Response, 1)
	go func() {
		defer close(recorder)
		resp, err := http.Get("http://" + server.address)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		recorder <- resp
	}()
	ctx := <-entered
	server.stop()
	server.untilClosed(t)
	if err := ctx.Err(); err != nil {
		t.Errorf("the request was aborted: %v", err)
	}
	select {
	case err := <-server.ended:
		t.Errorf("the server ended before the request, with error %v", err)
	default:
	}
	close(leave)
	if resp := <-recorder; resp == nil || resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("got %+v", resp)
	}
	if err := <-server.ended; err != nil {
		t.Error(err)
	}
}

func TestServer_ShutdownDelay(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := ServerConfig{Handler: http.NotFoundHandler(), ShutdownDelay: time.Hour}
	server := NewServer(config)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.serve(ctx, listener) }()
	stop()
	for !server.stopping.Load() {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	resp, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !resp.Close {
		t.Error("the connection was kept open")
	}
	_ = listener.Close() // otherwise the server would run for an hour
	if err := <-ended; err == nil || !strings.HasPrefix(err.Error(), "could not serve webhooks to the end: ") {
		t.Errorf("got error %v", err)
	}
}

func TestServer_ShutdownTimeout(t *testing.T) {
	entered := make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		close(entered)
		<-req.Context().Done()
	})
	server := startServer(t, ServerConfig{DrainTimeout: time.Millisecond, Handler: handler})
	go func() {
		if resp, err := http.Get("http://" + server.address); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-entered
	server.stop()
	if err := <-server.ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v", err)
	}
}

func TestServer_TooManyHeaders(t *testing.T) {
	server := startServer(t, ServerConfig{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server.address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 2*maxHeaderBytes))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s", resp.Status)
	}
}

func TestServer_EveryReplicaServes(t *testing.T) {
	if NewServer(ServerConfig{}).NeedLeaderElection() {
		t.Error("only the leader serves")
	}
}

// untilClosed waits until no connection is accepted anymore.
func (s *testServer) untilClosed(t *testing.T) {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			return
		}
		_ = conn.Close()
		select {
		case <-t.Context().Done():
			t.Fatal("connections are still accepted")
		case <-time.After(time.Millisecond):
		}
	}
}

// A client that sends directly may wait for it before it sends the body.
func TestServer_SendsContinue(t *testing.T) {
	server := startServer(t, ServerConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.WriteHeader(http.StatusAccepted)
	})})
	continued := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued = true }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+server.address, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}}
	response, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusAccepted || !continued {
		t.Errorf("got %d, 100 Continue: %t", response.StatusCode, continued)
	}
}
