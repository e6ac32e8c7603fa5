// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package etcd runs an etcd member inside this process, for installations that bring no etcd of their own. It listens
// on one unix socket in a directory that only this user may enter, and on no TCP port. It keeps itself below its quota,
// and outlives what would end an etcd of its own: a disk that is full or can't be written. It must not know what is
// stored in it.
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
	// maxSocketPath is the longest path of a unix socket that Linux and macOS both take (sun_path, less its final NUL).
	maxSocketPath = 103

	socketName = "client.sock"
)

// Config says how to run a member.
type Config struct {
	// DataDir is where the data lies; it is made if it does not exist.
	DataDir string
	// QuotaBytes bounds the database. Over it, etcd takes no more until there is room again.
	QuotaBytes int64
}

// Server is a running etcd member. Its methods may be called from any goroutine.
type Server struct {
	config          Config
	dir             string // DataDir, absolute
	etcd            *embed.Etcd
	lock            *os.File
	failure         *failure
	closing         atomic.Bool
	closeOnce       sync.Once
	usage           usage
	stopMaintenance context.CancelFunc // of maintenance
	maintenanceDone chan struct{}      // closed when that has ended
}

// Start runs an etcd member, and returns once it serves. The context bounds the wait for that; Close ends the member. An
// error is ErrInUse or ErrPathTooLong if trying again can't help, and ErrRestartRequired if this process can't try again.
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

// prepare makes the directory and takes it for this process.
func (s *Server) prepare() (err error) {
	if s.dir, err = filepath.Abs(s.config.DataDir); err != nil {
		return fmt.Errorf("could not find the data directory: %w", err)
	}
	if socket := s.socket(); len(socket) > maxSocketPath {
		return fmt.Errorf("%w: the path of the socket in %q would have %d bytes, of %d allowed; choose a shorter --data-dir",
			ErrPathTooLong, s.dir, len(socket), maxSocketPath)
	}
	// The socket itself is open to everyone; the directory is what keeps others out.
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("could not make the data directory: %w", err)
	}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		return fmt.Errorf("could not close the data directory to others: %w", err)
	}
	// A second etcd would take the first one's socket before it noticed that the database is in use.
	if s.lock, err = lockDirectory(s.dir); err != nil {
		return err
	}
	if err := checkWritable(s.dir, s.bytesToStart()); err != nil {
		return errors.Join(err, s.lock.Close())
	}
	return nil
}

// start runs the member and waits until it is ready. Whatever it leaves behind when it fails in the middle, an open
// database among it, belongs to this process until that ends.
func (s *Server) start(ctx context.Context) error {
	started := make(chan error, 1)
	go func() {
		err := ErrRestartRequired
		defer func() { // also if this goroutine is ended, see fate
			if panicked := recover(); panicked != nil {
				s.failure.fail(fmt.Errorf("it panicked: %v", panicked))
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
	case <-s.failure.failed: // in a goroutine that the other one waits for
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
		s.failure.fail(errors.New("it did not become ready in time"))
		return s.restartRequired()
	}
}

func (s *Server) restartRequired() error {
	return fmt.Errorf("%w: %w", ErrRestartRequired, s.failure.cause())
}

// watchForExit notices when the member ends by itself.
func (s *Server) watchForExit() {
	err := errors.New("it stopped")
	select {
	case served := <-s.etcd.Err():
		err = fmt.Errorf("it can't be reached any more: %w", served)
	case <-s.etcd.Server.StopNotify():
	case <-s.failure.failed:
	}
	if s.closing.Load() {
		return
	}
	s.failure.fail(err)
	// What stands still would let clients wait. This ends their connections, and may never return.
	s.closeMember()
}

// closeMember closes the member once. One that has failed may panic on that, which is no reason for anything else to end.
func (s *Server) closeMember() {
	s.closeOnce.Do(func() {
		defer func() {
			if panicked := recover(); panicked != nil {
				klog.ErrorS(nil, "etcd panicked while it was closed", "panic", panicked)
			}
		}()
		s.etcd.Close()
	})
}

// Endpoint is the address for an etcd client.
func (s *Server) Endpoint() string { return "unix://" + s.socket() }

func (s *Server) socket() string { return filepath.Join(s.dir, socketName) }

// Failed is closed when the member has ended without having been asked to. Nothing but the end of the process gives back
// all that it holds.
func (s *Server) Failed() <-chan struct{} { return s.failure.failed }

// Close ends the member and waits for it, unless it has failed. What was acknowledged is on disk already.
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
	// A member must advertise something, and may not advertise a unix socket. Nobody dials this: a lone member has no
	// peers, and the only client is given the socket.
	cfg.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.111:0"}}
	cfg.ListenPeerUrls = nil
	cfg.QuotaBackendBytes = s.config.QuotaBytes
	// By default ten thousand changes are kept in memory for members that have fallen behind, of which there are none.
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = 1000, 100
	// Old logs are for members that lag behind, of which there are none.
	cfg.MaxWalFiles = 2
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newLogger(&s.closing, s.failure))
	return cfg
}

func (s *Server) memberDir() string { return filepath.Join(s.dir, "etcd") }

// lockDirectory makes sure that no other process uses the data directory, for as long as the file is open. The lock ends
// with the process, however that ends.
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
		return nil, fmt.Errorf("%w %q: end it, or give this one another --data-dir", ErrInUse, dir)
	}
	return nil, fmt.Errorf("could not lock the data directory: %w", err)
}
