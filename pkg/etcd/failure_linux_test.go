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

// smallDisk mounts a file system of that many MiB, in memory, and returns where. It skips the test where only an
// administrator may do that.
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

// fill writes a file until the disk has no byte left, and returns its path.
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

func TestAFullDiskMakesTheMemberUnreadyUntilThereIsRoomAgain(t *testing.T) {
	dir := smallDisk(t, 256)
	s, client := start(t, configOf(dir))
	if err := s.Ready(); err != nil {
		t.Fatalf("with room: %v", err)
	}
	filler := fill(t, dir)
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "the disk of the data directory is full") {
		t.Errorf("without room: got error %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if _, err := client.Put(t.Context(), "key", "value"); err != nil {
		t.Error(err)
	}
}

// etcd alone would end the process, and this test with it.
func TestAWriteThatFailsEndsTheMemberButNotTheProcess(t *testing.T) {
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
		t.Fatal("the member has written to a full disk for a minute")
	}
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "etcd has failed") {
		t.Errorf("got error %v", err)
	}
	cancel()
	s.Close() // returns, although what failed can't be closed
}

func TestADiskThatCannotBeWrittenIsAnErrorAfterWhichStartingCanBeTriedAgain(t *testing.T) {
	for _, test := range []struct {
		name   string
		spoil  func(t *testing.T, dir string)
		mend   func(t *testing.T, dir string)
		expect string
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
			test.spoil(t, dir)
			_, err := Start(t.Context(), configOf(dir))
			if err == nil || !strings.Contains(err.Error(), test.expect) {
				t.Fatalf("got error %v, want one that says %q", err, test.expect)
			}
			if errors.Is(err, ErrRestartRequired) || errors.Is(err, ErrInUse) || errors.Is(err, ErrPathTooLong) {
				t.Errorf("the error says not to try again: %v", err)
			}
			test.mend(t, dir)
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

func TestADatabaseThatCannotBeOpenedSaysThatThisProcessIsSpent(t *testing.T) {
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
		t.Fatalf("found %v, %v", logs, err)
	}
	if err := os.WriteFile(logs[0], []byte("no log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(ctx, configOf(dir)); !errors.Is(err, ErrRestartRequired) {
		t.Errorf("got error %v", err)
	}
}
