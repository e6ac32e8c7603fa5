// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/etcd"
)

const (
	// etcdStartTimeout is long enough to read all that the largest database may hold.
	etcdStartTimeout = 5 * time.Minute
	// startupServerDelay is how long etcd may take to start before callers are told to wait.
	startupServerDelay = 3 * time.Second
)

// errRestartRequired says that the embedded etcd needs a new process: see etcd.ErrRestartRequired.
var errRestartRequired = errors.New("the embedded etcd needs a new process")

// storageBackoff is how long to wait between attempts to use a data directory that can't be used, without end.
func storageBackoff() wait.Backoff {
	return wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 5, Cap: 15 * time.Second}
}

// openStorage starts the embedded etcd, and tries again for as long as that can help: a full disk is no reason to end, be
// started again, and end. Meanwhile the port is held. The error is that of ctx if that ends first.
func openStorage(ctx context.Context, o *options, startup *startupServer) (*etcd.Server, error) {
	backoff := storageBackoff()
	for {
		startTimer := time.AfterFunc(startupServerDelay, startup.start)
		startCtx, cancel := context.WithTimeout(ctx, etcdStartTimeout)
		member, err := etcd.Start(startCtx, etcd.Config{DataDir: o.dataDir, QuotaBytes: o.limits.etcdQuotaBytes})
		cancel()
		startTimer.Stop()
		if err == nil {
			return member, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, etcd.ErrInUse) || errors.Is(err, etcd.ErrPathTooLong) {
			return nil, err // a mistake that somebody should see
		}
		delay := backoff.Step()
		if errors.Is(err, etcd.ErrRestartRequired) {
			delay = backoff.Cap
		}
		klog.ErrorS(err, "Could not open the data directory, trying again", "in", delay.Round(time.Second))
		startup.start()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(delay):
		}
		if errors.Is(err, etcd.ErrRestartRequired) {
			return nil, errRestartRequired
		}
	}
}

// waitForRecovery waits until the member has failed, and then until its data directory can be used again. It returns false if
// ctx ends first.
func waitForRecovery(ctx context.Context, member *etcd.Server) bool {
	select {
	case <-ctx.Done():
		return false
	case <-member.Failed():
	}
	klog.ErrorS(member.Ready(), "No delivery can be taken until the embedded etcd has been started again")
	backoff := storageBackoff()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(backoff.Step()):
		}
		err := member.CheckRestart()
		if err == nil {
			return true
		}
		klog.ErrorS(err, "Can't start the embedded etcd again yet")
	}
}

// reexec replaces the program that this process runs by the same one: whoever supervises the process sees no end, and
// all that the old one held is given back. It returns nil if the process has been told to end.
func reexec(ctx context.Context) error {
	signal.Reset() // nobody would read of a signal from now on, and all is closed: it may end the process
	select {
	case <-ctx.Done():
		return nil
	default:
	}
	klog.InfoS("Starting anew, to run the embedded etcd again")
	klog.Flush()
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("could not find this program: %w", err)
	}
	if err := syscall.Exec(path, os.Args, os.Environ()); err != nil {
		return fmt.Errorf("could not start this program anew: %w", err)
	}
	return nil
}
