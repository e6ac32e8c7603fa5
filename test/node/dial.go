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
//
// A socket belongs to the network namespace of the thread that creates it, and stays there.
func (m *machine) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.pid.Load()))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("could not enter the network of %s: %w", m.name, err)
	}
	defer func() {
		if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
			err = errors.Join(err, back)
			return // the thread ends with the goroutine, since it is still locked
		}
		runtime.UnlockOSThread()
	}()
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, address)
}
