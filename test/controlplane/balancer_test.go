// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBalancer_RoundRobinAmongReady(t *testing.T) {
	health := &health{ready: map[string]bool{}}
	one, two := startBackend(t, "one"), startBackend(t, "two")
	health.set(one, true)
	health.set(two, true)
	b := newTestBalancer(t, health, one, two)
	eventually(t, "both are ready", func() bool { return b.uses(one) && b.uses(two) })

	first, second := dialBackend(t, b), dialBackend(t, b)
	if diff := cmp.Diff(map[string]bool{"one": true, "two": true},
		map[string]bool{first.name: true, second.name: true}); diff != "" {
		t.Errorf("backends of two connections (-want +got):\n%s", diff)
	}

	health.set(one, false)
	eventually(t, "one is no longer used", func() bool { return !b.uses(one) })
	for range 3 {
		if got := dialBackend(t, b).name; got != "two" {
			t.Errorf("a new connection goes to %q, which is not ready", got)
		}
	}
	for _, existing := range []*testConn{first, second} {
		if got := existing.says(t, "still there"); got != "still there" {
			t.Errorf("the connection to %s says %q", existing.name, got)
		}
	}
}

func TestBalancer_SkipsStoppedBackend(t *testing.T) {
	health := &health{ready: map[string]bool{}}
	gone, there := "https://127.0.0.1:1", startBackend(t, "there")
	health.set(gone, true)
	health.set(there, true)
	b := newTestBalancer(t, health, gone, there)
	eventually(t, "both are considered ready", func() bool { return b.uses(gone) && b.uses(there) })
	for range 4 {
		if got := dialBackend(t, b).name; got != "there" {
			t.Errorf("a connection goes to %q", got)
		}
	}
}

func TestBalancer_ClosesWithoutReadyBackend(t *testing.T) {
	b := newTestBalancer(t, &health{}, startBackend(t, "unready"))
	conn, err := net.Dial("tcp", b.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes although no backend is ready", n)
	}
}

// health is the readiness of each backend.
type health struct {
	mu    sync.Mutex
	ready map[string]bool
}

func (h *health) set(address string, ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready[address] = ready
}

func (h *health) check(_ context.Context, address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready[address]
}

func newTestBalancer(t *testing.T, health *health, addresses ...string) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBalancer(listener, addresses, health.check)
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// startBackend starts a server that sends its name and then echoes each line, and returns its address.
func startBackend(t *testing.T, name string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintln(conn, name)
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintln(conn, lines.Text())
				}
			}()
		}
	}()
	return "https://" + listener.Addr().String()
}

type testConn struct {
	net.Conn
	lines *bufio.Scanner
	name  string // of the backend
}

func dialBackend(t *testing.T, b *balancer) *testConn {
	t.Helper()
	conn, err := net.Dial("tcp", b.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &testConn{Conn: conn, lines: bufio.NewScanner(conn)}
	c.lines.Scan()
	c.name = c.lines.Text()
	return c
}

// says sends a line and returns the answer.
func (c *testConn) says(t *testing.T, line string) string {
	t.Helper()
	if _, err := fmt.Fprintln(c, line); err != nil {
		t.Fatal(err)
	}
	c.lines.Scan()
	return c.lines.Text()
}
