// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dial connects from the network of the machine to an address without a name. It is safe for concurrent use.
func (m *machine) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = m.inNetwork(func() (err error) {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens on a TCP address of the node until it is halted, or the listener is closed.
func (n *Node) Listen(ctx context.Context, address string) (listener net.Listener, err error) {
	err = n.machine.inNetwork(func() (err error) {
		var config net.ListenConfig
		listener, err = config.Listen(ctx, "tcp", address)
		return err
	})
	return listener, err
}

// inNetwork calls create in the network of the machine. A socket belongs to the network namespace of the thread that
// creates it, and stays there.
func (m *machine) inNetwork(create func() error) (err error) {
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.pid.Load()))
	if err != nil {
		return err
	}
	defer there.Close()
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("could not enter the network of %s: %w", m.name, err)
	}
	defer func() {
		if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
			err = errors.Join(err, back)
			return // the thread ends with the goroutine, since it is still locked
		}
		runtime.UnlockOSThread()
	}()
	return create()
}
