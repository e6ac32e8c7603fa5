// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
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

func TestAConnectionOverTheLimitWaitsUntilAnotherEnds(t *testing.T) {
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
