// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import "golang.org/x/sys/unix"

func statDisk(dir string) (disk, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return disk{}, err
	}
	return disk{free: stat.Bavail * uint64(stat.Bsize), readOnly: stat.Flags&unix.ST_RDONLY != 0}, nil
}
