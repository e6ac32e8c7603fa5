// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package startup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/etcd"
)

// etcdStartTimeout allows etcd to read a database of the maximum size.
const etcdStartTimeout = 5 * time.Minute

// withStorage calls serve while an embedded etcd runs. The etcd starts first and stops last, because everything else
// depends on it. If it fails, the error is etcd.ErrRestartRequired once a new process can use its data directory.
func withStorage(
	ctx context.Context, config etcd.Config, onFailure func(), serve func(context.Context, *etcd.Server) error,
) error {
	etcd.RegisterMetrics()
	member, err := openStorage(ctx, config, onFailure)
	if err != nil {
		return err
	}
	defer member.Close()
	serveCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		if waitForRecovery(serveCtx, member) == nil {
			stop(etcd.ErrRestartRequired)
		}
	}()
	err = serve(serveCtx, member)
	if cause := context.Cause(serveCtx); errors.Is(cause, etcd.ErrRestartRequired) &&
		(err == nil || errors.Is(err, context.Canceled)) {
		return cause
	}
	return err
}

// openStorage starts the embedded etcd, and retries while that can help. After each failure it calls onFailure. If only
// a new process can retry, it waits and returns etcd.ErrRestartRequired. It returns the error of ctx if ctx ends first.
func openStorage(ctx context.Context, config etcd.Config, onFailure func()) (member *etcd.Server, err error) {
	err = retries.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (started bool, err error) {
		startCtx, cancel := context.WithTimeout(ctx, etcdStartTimeout)
		defer cancel()
		member, err = etcd.Start(startCtx, config)
		switch {
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, ctx.Err()
		case errors.Is(err, etcd.ErrInUse), errors.Is(err, etcd.ErrPathTooLong): // which retries can't fix
			return false, err
		}
		klog.ErrorS(err, "Could not open the data directory, retrying")
		onFailure()
		if errors.Is(err, etcd.ErrRestartRequired) {
			return false, err
		}
		return false, nil
	})
	if errors.Is(err, etcd.ErrRestartRequired) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retries.Cap):
		}
	}
	return member, err
}

// waitForRecovery waits until member has failed, and then until its data directory is usable again. It returns the
// error of ctx if ctx ends first.
func waitForRecovery(ctx context.Context, member *etcd.Server) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-member.Failed():
	}
	klog.ErrorS(member.Ready(), "Refusing deliveries until the embedded etcd is restarted")
	return retries.DelayFunc().Until(ctx, false, true, func(context.Context) (bool, error) {
		if err := member.CheckRestart(); err != nil {
			klog.ErrorS(err, "Could not restart the embedded etcd yet")
			return false, nil
		}
		return true, nil
	})
}

// reexec replaces this process by a new instance of the program with the same pid, which releases all resources without
// an exit that a supervisor would see. It returns nil if ctx is done.
func reexec(ctx context.Context, flushLog func()) error {
	signal.Reset() // nothing handles signals anymore, and all is closed: a signal may terminate the process
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end that was asked for is no failure
	}
	klog.InfoS("Re-executing to restart the embedded etcd")
	flushLog()
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("could not determine the path of the executable: %w", err)
	}
	if err := syscall.Exec(path, os.Args, os.Environ()); err != nil {
		return fmt.Errorf("could not re-execute: %w", err)
	}
	return nil
}
