// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"net"
	"path/filepath"
	"testing"
)

func TestPort_ReservedIsFreeForSharingServer(t *testing.T) {
	p, err := reservePort(filepath.Join(t.TempDir(), "port"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.release() })

	if listener, err := net.Listen("tcp", "127.0.0.1:"+p.String()); err == nil {
		_ = listener.Close()
		t.Error("a server that does not share the port could listen on it")
	}
	shared, err := bindPort(p.number)
	if err != nil {
		t.Fatalf("a server that shares the port could not listen on it: %v", err)
	}
	if err := shared.release(); err != nil {
		t.Error(err)
	}
}

func TestPort_ReservedAgainUnlessTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "port")
	first := mustReserve(t, file)
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	second := mustReserve(t, file)
	if first.number != second.number {
		t.Errorf("the port changed from %d to %d", first.number, second.number)
	}
	if err := second.release(); err != nil {
		t.Fatal(err)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:"+second.String())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	third := mustReserve(t, file)
	defer func() { _ = third.release() }()
	if third.number == second.number {
		t.Errorf("port %d was reserved although another program listens on it", third.number)
	}
	if again := mustReserve(t, file); again.number != third.number {
		t.Errorf("the file should have port %d, but has %d", third.number, again.number)
	} else if err := again.release(); err != nil {
		t.Error(err)
	}
}

func mustReserve(t *testing.T, file string) *port {
	t.Helper()
	p, err := reservePort(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
