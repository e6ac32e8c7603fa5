// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package etcd runs an etcd member inside this process, for installations that bring no etcd of their own. It listens
// on one unix socket in a directory that only this user may enter, and on no TCP port. It must not know what is
// stored in it.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"go.etcd.io/etcd/server/v3/embed"
)

const (
	// quotaBytes bounds the database file. Deliveries expire and the API server compacts the history every five
	// minutes, so a size near this means that something is wrong; etcd then refuses writes rather than fill the disk.
	quotaBytes = 2 << 30

	// maxSocketPath is the longest path of a unix socket that Linux and macOS both take (sun_path, less its final NUL).
	maxSocketPath = 103

	socketName = "client.sock"
)

// Server is a running etcd member. Its methods may be called from any goroutine.
type Server struct {
	etcd    *embed.Etcd
	lock    *os.File
	socket  string
	closing atomic.Bool
}

// Start runs an etcd member whose data lies in dataDir, which is made if it does not exist, and returns once the
// member serves. The context bounds the wait for that; Close ends the member.
func Start(ctx context.Context, dataDir string) (*Server, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fmt.Errorf("could not find the data directory: %w", err)
	}
	s := &Server{socket: filepath.Join(dataDir, socketName)}
	if len(s.socket) > maxSocketPath {
		return nil, fmt.Errorf("the data directory %q is too long: the path of its socket would have %d bytes, of %d allowed; choose a shorter --data-dir",
			dataDir, len(s.socket), maxSocketPath)
	}
	// The socket itself is open to everyone; the directory is what keeps others out.
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("could not make the data directory: %w", err)
	}
	if err := os.Chmod(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("could not close the data directory to others: %w", err)
	}

	// A second etcd would take the first one's socket before it noticed that the database is in use.
	if s.lock, err = lockDirectory(dataDir); err != nil {
		return nil, err
	}
	s.etcd, err = embed.StartEtcd(s.config(dataDir))
	if err != nil {
		_ = s.lock.Close()
		return nil, fmt.Errorf("could not start etcd in %q: %w", dataDir, err)
	}
	select {
	case <-s.etcd.Server.ReadyNotify():
		return s, nil
	case err = <-s.etcd.Err():
	case <-s.etcd.Server.StopNotify():
		err = errors.New("it stopped")
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.Close()
	return nil, fmt.Errorf("etcd in %q did not become ready: %w", dataDir, err)
}

// Endpoint is the address for an etcd client.
func (s *Server) Endpoint() string { return "unix://" + s.socket }

// Err reports an error that ended the member.
func (s *Server) Err() <-chan error { return s.etcd.Err() }

// Close ends the member and waits for it. What was acknowledged is on disk already.
func (s *Server) Close() {
	s.closing.Store(true)
	s.etcd.Close()
	_ = s.lock.Close()
}

func (s *Server) config(dataDir string) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dataDir, "etcd")
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: s.socket}}
	// A member must advertise something, and may not advertise a unix socket. Nobody dials this: a lone member has no
	// peers, and the only client is given the socket.
	cfg.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.111:0"}}
	cfg.ListenPeerUrls = nil
	cfg.QuotaBackendBytes = quotaBytes
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newLogger(&s.closing))
	return cfg
}
