// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package etcd

import "math"

// statDisk is not implemented on other systems, which are used only for development. It reports unlimited space.
func statDisk(string) (disk, error) { return disk{free: math.MaxUint64}, nil }
