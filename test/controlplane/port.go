// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// port is a TCP port of 127.0.0.1 that stays reserved for one server, even during its restarts: a socket that never
// listens is bound to it with SO_REUSEPORT. The server shares the port with --permit-port-sharing. The kernel assigns
// it to no other program, so parallel tests never collide.
type port struct {
	number int
	socket int
}

// reservePort returns the port in file, or a free one if that is missing or taken, and stores it in file.
func reservePort(file string) (*port, error) {
	wanted, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	number, _ := strconv.Atoi(strings.TrimSpace(string(wanted))) // 0, that is any port, if the file is unreadable
	p, err := bindPort(number)
	if err != nil && number != 0 {
		p, err = bindPort(0)
	}
	if err != nil {
		return nil, fmt.Errorf("could not reserve a port: %w", err)
	}
	return p, os.WriteFile(file, []byte(strconv.Itoa(p.number)+"\n"), 0o600)
}

func bindPort(number int) (*port, error) {
	socket, err := newSocket()
	if err != nil {
		return nil, err
	}
	address := &unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}}
	err = errors.Join(
		unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(socket, address),
	)
	var bound unix.Sockaddr
	if err == nil {
		bound, err = unix.Getsockname(socket)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(socket))
	}
	return &port{number: bound.(*unix.SockaddrInet4).Port, socket: socket}, nil
}

// newSocket opens a socket that children do not inherit: otherwise a child keeps the port while it lives.
func newSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(socket)
	}
	return socket, err
}

// listen accepts connections to the port in this process. The caller closes the listener before it releases the port.
func (p *port) listen(ctx context.Context) (net.Listener, error) {
	share := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		var err error
		controlErr := conn.Control(func(socket uintptr) {
			err = unix.SetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(controlErr, err)
	}}
	return share.Listen(ctx, "tcp", "127.0.0.1:"+p.String())
}

func (p *port) release() error {
	if p == nil {
		return nil
	}
	return unix.Close(p.socket)
}

func (p *port) String() string { return strconv.Itoa(p.number) }
