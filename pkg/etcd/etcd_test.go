// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/wait"
)

func TestServer_DataSurvivesRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir := shortTempDir(t)

	for run, want := range []string{"", "kept"} {
		s, err := Start(ctx, configOf(dir))
		if err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Get(ctx, "key")
		if err != nil {
			t.Fatal(err)
		}
		value := ""
		if len(got.Kvs) == 1 {
			value = string(got.Kvs[0].Value)
		}
		if value != want {
			t.Errorf("run %d: got value %q, want %q", run, value, want)
		}
		if _, err := client.Put(ctx, "key", "kept"); err != nil {
			t.Fatal(err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	}
}

func TestServer_DataDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(shortTempDir(t), "open")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s, err := Start(context.Background(), configOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("the data directory has mode %o, want 700", got)
	}
}

func TestServer_SecondProcessIsRefused(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir := shortTempDir(t)
	first, err := Start(ctx, configOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := Start(ctx, configOf(dir)); !errors.Is(err, ErrInUse) {
		t.Fatalf("the second start: got error %v, want %v", err, ErrInUse)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{first.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Put(ctx, "key", "value"); err != nil {
		t.Errorf("the first member no longer serves: %v", err)
	}
}

func TestServer_LongPathIsRefused(t *testing.T) {
	_, err := Start(context.Background(), configOf("/tmp/"+strings.Repeat("x", 100)))
	if !errors.Is(err, ErrPathTooLong) || !strings.Contains(err.Error(), "choose a shorter --data-dir") {
		t.Errorf("got error %v, want %v with a remedy", err, ErrPathTooLong)
	}
}

func TestServer_FileAsDirectoryIsError(t *testing.T) {
	file := filepath.Join(shortTempDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(context.Background(), configOf(file)); err == nil {
		t.Error("got no error")
	}
}

func configOf(dir string) Config { return Config{DataDir: dir, QuotaBytes: 2 << 30} }

// shortTempDir is like t.TempDir, whose paths can be too long for a socket.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start starts a member that stops with the test, and returns it with a client.
func start(t *testing.T, config Config) (*Server, *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return s, client
}

// eventually waits until the condition returns nil.
func eventually(t *testing.T, condition func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) {
			last = condition(ctx)
			return last == nil, nil
		})
	if err != nil {
		t.Fatalf("timed out waiting: %v", last)
	}
}

func TestServer_ElectsItselfSoon(t *testing.T) {
	config := (&Server{}).embedConfig()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	if limit := time.Duration(config.ElectionMs) * time.Millisecond; limit > 250*time.Millisecond {
		t.Errorf("a member waits up to %v before it elects itself, want 250ms at most", limit)
	}
}
