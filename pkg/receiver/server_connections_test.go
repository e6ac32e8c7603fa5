// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
)

// connection sends requests to a server over one connection.
type connection struct {
	net.Conn
	reader *bufio.Reader
}

func (s *testServer) open(t *testing.T) *connection {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &connection{conn, bufio.NewReader(conn)}
}

func (c *connection) get(t *testing.T, path string) {
	t.Helper()
	if _, err := c.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
}

func (c *connection) mustReadResponse(t *testing.T) {
	t.Helper()
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func TestServer_ConnectionLimit(t *testing.T) {
	var late atomic.Bool
	handler := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		late.Store(late.Load() || req.URL.Path == "/late")
	})
	server := startServer(t, ServerConfig{MaxConnections: 1, Handler: handler})
	first := server.open(t)
	first.get(t, "/first")
	first.mustReadResponse(t)
	second := server.open(t)
	second.get(t, "/late")
	for range 100 { // enough for the other connection to be served if there were no limit
		first.get(t, "/first")
		first.mustReadResponse(t)
	}
	if late.Load() {
		t.Error("a connection over the limit was served")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second.mustReadResponse(t)
	if !late.Load() {
		t.Error("the handler was not called")
	}
}

// startHTTP2Server starts a server with HTTP/2.
func startHTTP2Server(t *testing.T, handler http.Handler) *testServer {
	t.Helper()
	options := pairFiles(t)
	options.HTTP2 = true
	certificates, err := LoadCertificates(options)
	if err != nil {
		t.Fatal(err)
	}
	return startServer(t, ServerConfig{TLS: options, Certificates: certificates, Handler: handler})
}

// A client can make the server buffer as much as its settings allow.
func TestServer_HTTP2UnreadDataIsBounded(t *testing.T) {
	server := startHTTP2Server(t, nil)
	conn, err := tls.Dial("tcp", server.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WritePing(false, [8]byte{}); err != nil {
		t.Fatal(err)
	}
	type bounds struct{ Streams, Frame, Stream, Connection uint32 }
	const defaultWindow = 1<<16 - 1 // RFC 9113, section 6.9.2
	got := bounds{Connection: defaultWindow}
	for pinged := false; !pinged; { // the server sends its settings before it responds
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if frame.IsAck() {
				continue
			}
			got.Streams, _ = frame.Value(http2.SettingMaxConcurrentStreams)
			got.Frame, _ = frame.Value(http2.SettingMaxFrameSize)
			got.Stream, _ = frame.Value(http2.SettingInitialWindowSize)
		case *http2.WindowUpdateFrame:
			got.Connection += frame.Increment
		case *http2.PingFrame:
			pinged = true
		}
	}
	want := bounds{Streams: 4, Frame: 16 << 10, Stream: 64 << 10, Connection: defaultWindow}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestServer_HTTP2LargeBody(t *testing.T) {
	const size = 1 << 20
	server := startHTTP2Server(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Proto", req.Proto)
		w.Header().Set("X-Size", strconv.Itoa(len(body)))
	}))
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Post("https://"+server.address, "application/json",
		bytes.NewReader(make([]byte, size)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if proto, got := resp.Header.Get("X-Proto"), resp.Header.Get("X-Size"); proto != "HTTP/2.0" ||
		got != strconv.Itoa(size) {
		t.Errorf("%s bytes arrived over %s", got, proto)
	}
}
