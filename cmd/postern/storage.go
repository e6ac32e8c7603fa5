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
	// etcdStartTimeout allows etcd to read a database of the maximum size.
	etcdStartTimeout = 5 * time.Minute
	// startupServerDelay is how long startup may take before startupServer responds to clients.
	startupServerDelay = 3 * time.Second
)

// errRestartRequired means that the embedded etcd can't be restarted in this process; see etcd.ErrRestartRequired.
var errRestartRequired = errors.New("the embedded etcd requires a restart of the process")

// storageBackoff returns the delays between attempts to use the storage. The last delay repeats.
func storageBackoff() wait.Backoff {
	return wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 5, Cap: 15 * time.Second}
}

// openStorage starts the embedded etcd, and retries while that can help: a full disk must not crash the process in a
// loop. Meanwhile startup serves on the port. It returns the error of ctx if ctx ends first.
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
			return nil, err // a configuration error, which retries can't fix
		}
		delay := backoff.Step()
		if errors.Is(err, etcd.ErrRestartRequired) {
			delay = backoff.Cap
		}
		klog.ErrorS(err, "Could not open the data directory, retrying", "retryIn", delay.Round(time.Second))
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

// waitForRecovery waits until member has failed, and then until its data directory is usable again. It returns false if
// ctx ends first.
func waitForRecovery(ctx context.Context, member *etcd.Server) bool {
	select {
	case <-ctx.Done():
		return false
	case <-member.Failed():
	}
	klog.ErrorS(member.Ready(), "Refusing deliveries until the embedded etcd is restarted")
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
		klog.ErrorS(err, "Could not restart the embedded etcd yet")
	}
}

// reexec replaces this process by a new instance of the program with the same pid, which releases all resources without
// an exit that a supervisor would see. It returns nil if ctx is done.
func reexec(ctx context.Context) error {
	signal.Reset() // nothing handles signals anymore, and all is closed: a signal may terminate the process
	select {
	case <-ctx.Done():
		return nil
	default:
	}
	klog.InfoS("Re-executing to restart the embedded etcd")
	klog.Flush()
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("could not determine the path of the executable: %w", err)
	}
	if err := syscall.Exec(path, os.Args, os.Environ()); err != nil {
		return fmt.Errorf("could not re-execute: %w", err)
	}
	return nil
}
