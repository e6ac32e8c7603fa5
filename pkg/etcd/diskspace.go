// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	// reserveBytes must be free on the disk for the member to be given anything to write. etcd does not survive a write
	// that fails, so it must not come to that.
	reserveBytes = 16 << 20

	// walBytes is what etcd sets aside for each file of its log.
	// Source: SegmentSizeBytes in go.etcd.io/etcd/server, storage/wal/wal.go.
	walBytes = 64 << 20
)

// bytesToStart is how many bytes must be free to start a member: less if it has its files already.
func (s *Server) bytesToStart() uint64 {
	if _, err := os.Stat(filepath.Join(s.memberDir(), "member", "wal")); err == nil {
		return reserveBytes
	}
	return walBytes + reserveBytes
}

// CheckRestart returns nil once a member could be run again in the place of one that has failed.
func (s *Server) CheckRestart() error { return checkWritable(s.dir, s.bytesToStart()) }

// checkDiskSpace returns an error unless the disk that a directory is on can be written and has that many bytes free.
func checkDiskSpace(dir string, bytes uint64) error {
	d, err := statDisk(dir)
	switch {
	case err != nil:
		return fmt.Errorf("could not look at the disk of the data directory: %w", err)
	case d.readOnly:
		return errors.New("the disk of the data directory is mounted read-only")
	case d.free < bytes:
		return fmt.Errorf("the disk of the data directory is full: %d MiB are free, and %d MiB are needed", d.free>>20, bytes>>20)
	}
	return nil
}

// checkWritable returns an error unless that many bytes are free, and a file can be written to disk.
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
