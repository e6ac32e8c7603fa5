// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package etcd runs an etcd member inside this process, for installations without an etcd of their own. The member
// listens on one unix socket in a directory that only this user can access, and on no TCP port. It stays below its
// quota, and a failure that makes etcd exit, such as a full or read-only disk, does not end the process. The package
// does not depend on the stored data.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/klog/v2"
)

const (
	// maxSocketPath is the maximum length of the path of a unix socket on Linux and macOS (sun_path without its NUL).
	maxSocketPath = 103

	socketName = "client.sock"
)

// Config configures a member.
type Config struct {
	// DataDir is the data directory. It is created if it does not exist.
	DataDir string
	// QuotaBytes is the maximum size of the database. Beyond it, etcd rejects writes until space is freed.
	QuotaBytes int64
}

// Server is a running etcd member. It is safe for concurrent use.
type Server struct {
	config          Config
	dir             string // DataDir, absolute
	etcd            *embed.Etcd
	lock            *os.File
	failure         *failure
	closing         atomic.Bool
	closeOnce       sync.Once
	usage           usage
	stopMaintenance context.CancelFunc
	maintenanceDone chan struct{} // closed when maintenance has ended
}

// Start starts an etcd member, and returns when it serves. ctx bounds the wait; Close stops the member. The error is
// ErrInUse or ErrPathTooLong if retrying can't help, and ErrRestartRequired if this process can't retry.
func Start(ctx context.Context, config Config) (*Server, error) {
	s := &Server{config: config, failure: newFailure(), maintenanceDone: make(chan struct{})}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("could not start etcd in %q: %w", s.dir, err)
	}
	maintenanceCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopMaintenance = stop
	go s.maintain(maintenanceCtx)
	return s, nil
}

// prepare creates and locks the data directory.
func (s *Server) prepare() (err error) {
	if s.dir, err = filepath.Abs(s.config.DataDir); err != nil {
		return fmt.Errorf("could not resolve the path of the data directory: %w", err)
	}
	if socket := s.socket(); len(socket) > maxSocketPath {
		return fmt.Errorf("%w: the path of the socket in %q would have %d bytes, and may have %d; choose a shorter "+
			"--data-dir",
			ErrPathTooLong, s.dir, len(socket), maxSocketPath)
	}
	// Every user may connect to the socket itself; the mode of the directory prevents it.
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("could not create the data directory: %w", err)
	}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		return fmt.Errorf("could not restrict the mode of the data directory: %w", err)
	}
	// Without the lock, a second etcd would replace the socket before it noticed that the database is in use.
	if s.lock, err = lockDirectory(s.dir); err != nil {
		return err
	}
	if err := checkWritable(s.dir, s.bytesToStart()); err != nil {
		return errors.Join(err, s.lock.Close())
	}
	return nil
}

// start starts the member and waits until it is ready. If it fails, the process keeps its resources, such as an open
// database, until it exits.
func (s *Server) start(ctx context.Context) error {
	started := make(chan error, 1)
	go func() {
		err := ErrRestartRequired
		defer func() { // also runs if failure.OnWrite ends this goroutine
			if reason := recover(); reason != nil {
				s.failure.fail(fmt.Errorf("etcd panicked: %v", reason))
			}
			started <- err
		}()
		s.etcd, err = embed.StartEtcd(s.embedConfig())
	}()
	select {
	case err := <-started:
		if errors.Is(err, ErrRestartRequired) {
			return s.restartRequired()
		}
		if err != nil {
			return errors.Join(err, s.lock.Close())
		}
	case <-s.failure.failed: // another goroutine of etcd failed, for which StartEtcd waits
		return s.restartRequired()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrRestartRequired, ctx.Err())
	}
	go s.watchForExit()
	select {
	case <-s.etcd.Server.ReadyNotify():
		return nil
	case <-s.failure.failed:
		return s.restartRequired()
	case <-ctx.Done():
		s.failure.fail(errors.New("etcd did not become ready in time"))
		return s.restartRequired()
	}
}

func (s *Server) restartRequired() error {
	return fmt.Errorf("%w: %w", ErrRestartRequired, s.failure.cause())
}

// watchForExit records a failure if the member stops before Close.
func (s *Server) watchForExit() {
	err := errors.New("etcd stopped")
	select {
	case serveErr := <-s.etcd.Err():
		err = fmt.Errorf("etcd stopped serving: %w", serveErr)
	case <-s.etcd.Server.StopNotify():
	case <-s.failure.failed:
	}
	if s.closing.Load() {
		return
	}
	s.failure.fail(err)
	// Clients would wait for a hanging member. Closing it ends their connections, and may never return.
	s.closeMember()
}

// closeMember closes the member once. A failed member may panic on that, which must not end the process.
func (s *Server) closeMember() {
	s.closeOnce.Do(func() {
		defer func() {
			if reason := recover(); reason != nil {
				klog.ErrorS(nil, "etcd panicked while it was closed", "panic", reason)
			}
		}()
		s.etcd.Close()
	})
}

// Endpoint returns the address for an etcd client.
func (s *Server) Endpoint() string { return "unix://" + s.socket() }

func (s *Server) socket() string { return filepath.Join(s.dir, socketName) }

// Failed returns a channel that is closed when the member has stopped before Close. Only the end of the process
// releases all of the member's resources.
func (s *Server) Failed() <-chan struct{} { return s.failure.failed }

// Close stops the member, and waits for it unless it has failed. Acknowledged writes are already on disk.
func (s *Server) Close() {
	s.closing.Store(true)
	s.stopMaintenance()
	closed := make(chan struct{})
	go func() {
		<-s.maintenanceDone
		s.closeMember()
		close(closed)
	}()
	select {
	case <-closed:
	case <-s.failure.failed:
	}
	_ = s.lock.Close()
}

func (s *Server) embedConfig() *embed.Config {
	cfg := embed.NewConfig()
	cfg.Dir = s.memberDir()
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: s.socket()}}
	// A member must advertise a URL, and may not advertise a unix socket. No client uses this one: a single member has
	// no peers, and the only client is given the socket.
	cfg.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.111:0"}}
	cfg.ListenPeerUrls = nil
	cfg.QuotaBackendBytes = s.config.QuotaBytes
	// The time until a member elects itself is random, up to the timeout. The defaults are for members that are apart.
	cfg.TickMs, cfg.ElectionMs = 50, 250
	// By default etcd keeps ten thousand changes in memory for members that have fallen behind. There are no others.
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = 1000, 100
	// Old log files are also kept for such members.
	cfg.MaxWalFiles = 2
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newLogger(&s.closing, s.failure))
	return cfg
}

func (s *Server) memberDir() string { return filepath.Join(s.dir, "etcd") }

// lockDirectory keeps other processes from using the data directory while the returned file is open. The lock ends with
// the process, even after a crash.
func lockDirectory(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("could not open the lock of the data directory: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w %q: stop it, or use another --data-dir", ErrInUse, dir)
	}
	return nil, fmt.Errorf("could not lock the data directory: %w", err)
}
