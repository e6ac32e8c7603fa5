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

// connection is one connection to a server, which asks over it again and again.
type connection struct {
	net.Conn
	answers *bufio.Reader
}

func (s *served) open(t *testing.T) *connection {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &connection{conn, bufio.NewReader(conn)}
}

func (c *connection) ask(t *testing.T, path string) {
	t.Helper()
	if _, err := c.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
}

func (c *connection) mustBeAnswered(t *testing.T) {
	t.Helper()
	resp, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func TestAConnectionOverTheLimitWaitsUntilAnotherEnds(t *testing.T) {
	var late atomic.Bool
	server := serve(t, ServerConfig{MaxConnections: 1, Handler: http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		late.Store(late.Load() || req.URL.Path == "/late")
	})})
	first := server.open(t)
	first.ask(t, "/first")
	first.mustBeAnswered(t)
	second := server.open(t)
	second.ask(t, "/late")
	for range 100 { // any of which would be answered after the other, if that had its turn
		first.ask(t, "/first")
		first.mustBeAnswered(t)
	}
	if late.Load() {
		t.Error("a connection over the limit is served")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second.mustBeAnswered(t)
	if !late.Load() {
		t.Error("the handler was not asked")
	}
}
