// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a tmpfs of that many MiB, and returns its path. It skips the test without the permission to mount.
func smallDisk(t *testing.T, mebibytes int) string {
	t.Helper()
	dir := shortTempDir(t)
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mebibytes))
	if errors.Is(err, syscall.EPERM) {
		t.Skip("only root may mount a small disk")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill writes a file until the disk is full, and returns its path.
func fill(t *testing.T, dir string) string {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return file.Name()
}

func TestServer_FullDiskIsUnreadyUntilFreed(t *testing.T) {
	dir := smallDisk(t, 256)
	s, client := start(t, configOf(dir))
	if err := s.Ready(); err != nil {
		t.Fatalf("with free space: %v", err)
	}
	filler := fill(t, dir)
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "the disk of the data directory is full") {
		t.Errorf("without free space: got error %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("with free space again: %v", err)
	}
	if _, err := client.Put(t.Context(), "key", "value"); err != nil {
		t.Error(err)
	}
}

// Without the hook etcd would exit the process, and so this test.
func TestServer_WriteErrorEndsMemberNotProcess(t *testing.T) {
	dir := smallDisk(t, 256)
	s, client := start(t, configOf(dir))
	fill(t, dir)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	value := strings.Repeat("x", 1<<20)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			_, _ = client.Put(ctx, fmt.Sprintf("key-%d", i), value)
		}
	}()
	select {
	case <-s.Failed():
	case <-ctx.Done():
		t.Fatal("the member did not fail within a minute of writes to a full disk")
	}
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "etcd has failed") {
		t.Errorf("got error %v", err)
	}
	cancel()
	s.Close() // returns, although a failed member can't be closed
}

func TestServer_StartCanBeRetried(t *testing.T) {
	for _, test := range []struct {
		name      string
		breakDisk func(t *testing.T, dir string)
		fixDisk   func(t *testing.T, dir string)
		wantErr   string
	}{
		{"read-only", func(t *testing.T, dir string) { remount(t, dir, syscall.MS_RDONLY) },
			func(t *testing.T, dir string) { remount(t, dir, 0) }, "read-only"},
		{"full", func(t *testing.T, dir string) { fill(t, dir) }, func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
				t.Fatal(err)
			}
		}, "full"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := smallDisk(t, 256)
			test.breakDisk(t, dir)
			_, err := Start(t.Context(), configOf(dir))
			if err == nil || !strings.Contains(err.Error(), test.wantErr) {
				t.Fatalf("got error %v, want %q in it", err, test.wantErr)
			}
			if errors.Is(err, ErrRestartRequired) || errors.Is(err, ErrInUse) || errors.Is(err, ErrPathTooLong) {
				t.Errorf("got error %v, want one that allows retries", err)
			}
			test.fixDisk(t, dir)
			s, _ := start(t, configOf(dir))
			if err := s.Ready(); err != nil {
				t.Error(err)
			}
		})
	}
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
}

func TestServer_CorruptDatabaseNeedsRestart(t *testing.T) {
	dir := shortTempDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, configOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	logs, err := filepath.Glob(filepath.Join(dir, "etcd", "member", "wal", "*.wal"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("got log files %v, error %v, want one file", logs, err)
	}
	if err := os.WriteFile(logs[0], []byte("no log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(ctx, configOf(dir)); !errors.Is(err, ErrRestartRequired) {
		t.Errorf("got error %v, want %v", err, ErrRestartRequired)
	}
}
