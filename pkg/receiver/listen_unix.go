// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package receiver

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// sharePort lets other sockets of the same user bind the port, for --permit-port-sharing.
func sharePort(_, _ string, conn syscall.RawConn) error {
	var err error
	controlErr := conn.Control(func(socket uintptr) {
		err = unix.SetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(controlErr, err)
}
