// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package receiver

import (
	"errors"
	"syscall"
)

func sharePort(string, string, syscall.RawConn) error {
	return errors.New("--permit-port-sharing is not possible on this system")
}
