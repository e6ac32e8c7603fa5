// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// reserveBytes is the free disk space below which the member gets no writes: etcd does not survive a failed write.
	reserveBytes = 16 << 20

	// walBytes is the size that etcd allocates for each file of its log.
	// Source: SegmentSizeBytes in go.etcd.io/etcd/server, storage/wal/wal.go.
	walBytes = 64 << 20

	readOnlyFlag = 1 // ST_RDONLY on Linux, MNT_RDONLY on macOS
)

// bytesToStart returns the free disk space that starting a member needs. It is less if the member has files already.
func (s *Server) bytesToStart() uint64 {
	if _, err := os.Stat(filepath.Join(s.memberDir(), "member", "wal")); err == nil {
		return reserveBytes
	}
	return walBytes + reserveBytes
}

// CheckRestart returns nil if the data directory is usable for a new member after this one has failed.
func (s *Server) CheckRestart() error { return checkWritable(s.dir, s.bytesToStart()) }

// checkDiskSpace returns an error if the disk of dir is read-only or has less free space than bytes.
func checkDiskSpace(dir string, bytes uint64) error {
	d, err := statDisk(dir)
	switch {
	case err != nil:
		return fmt.Errorf("could not inspect the disk of the data directory: %w", err)
	case d.readOnly:
		return errors.New("the disk of the data directory is mounted read-only")
	case d.free < bytes:
		return fmt.Errorf("the disk of the data directory is full: %d MiB are free, and %d MiB are required",
			d.free>>20, bytes>>20)
	}
	return nil
}

// checkWritable returns an error unless dir has that much free space and a file can be synced to it.
func checkWritable(dir string, bytes uint64) error {
	if err := checkDiskSpace(dir, bytes); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "try"))
	if err != nil {
		return fmt.Errorf("could not write to the data directory: %w", err)
	}
	_, writeErr := file.Write(make([]byte, 1<<16))
	if err := errors.Join(writeErr, file.Sync(), file.Close(), os.Remove(file.Name())); err != nil {
		return fmt.Errorf("could not write to the data directory: %w", err)
	}
	return nil
}

// disk is the state of a file system.
type disk struct {
	free     uint64 // bytes for an unprivileged user
	readOnly bool
}

func statDisk(dir string) (disk, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return disk{}, err
	}
	return disk{free: stat.Bavail * uint64(stat.Bsize), readOnly: stat.Flags&readOnlyFlag != 0}, nil
}
