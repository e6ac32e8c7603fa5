// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"go.uber.org/zap/zapcore"
)

var (
	// ErrInUse means that another process uses the data directory.
	ErrInUse = errors.New("another process uses the data directory")
	// ErrPathTooLong means that a socket can't be created in the data directory, because its path would be too long.
	ErrPathTooLong = errors.New("the path of the data directory is too long")
	// ErrRestartRequired means that a member failed and this process can't run another one in the same directory: the
	// resources of the failed one, such as file locks, are released only when the process ends.
	ErrRestartRequired = errors.New("etcd can't be restarted within this process")
)

// failure records why a member failed. On an error that it can't handle, etcd exits the process by logging at the fatal
// or panic level. As a hook of its logger, failure ends only the goroutine, and so the member, instead.
type failure struct {
	failed chan struct{}
	once   sync.Once
	err    error // set before failed is closed
}

func newFailure() *failure { return &failure{failed: make(chan struct{})} }

// OnWrite implements zapcore.CheckWriteHook for entries at the fatal and panic level. It does not return.
func (f *failure) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(entry.Message)
	for _, field := range fields {
		if cause, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			err = fmt.Errorf("%s: %w", entry.Message, cause)
		}
	}
	f.fail(err)
	runtime.Goexit()
}

// fail records the first failure.
func (f *failure) fail(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.failed)
	})
}

// cause returns the failure, or nil if the member has not failed.
func (f *failure) cause() error {
	select {
	case <-f.failed:
		return f.err
	default:
		return nil
	}
}
