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
	// ErrInUse says that another process uses the data directory.
	ErrInUse = errors.New("another process uses the data directory")
	// ErrPathTooLong says that the data directory can't be one.
	ErrPathTooLong = errors.New("the data directory is too long")
	// ErrRestartRequired says that a member failed in a way after which this process can't run another one in the same directory:
	// what the failed one holds, locks of files among it, is given back only when the process ends.
	ErrRestartRequired = errors.New("etcd can't be started again by this process")
)

// failure is what became of a member. etcd ends its process when it can't go on, by logging something as fatal or as a
// panic; as a hook of its logger this ends the goroutine instead, and with it the member, but nothing else.
type failure struct {
	failed chan struct{}
	once   sync.Once
	err    error // set before failed is closed
}

func newFailure() *failure { return &failure{failed: make(chan struct{})} }

// OnWrite is called when an entry has been logged after which etcd expects not to go on. It does not return.
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

// fail notes the first failure.
func (f *failure) fail(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.failed)
	})
}

// cause returns why the member failed, or nil if it has not.
func (f *failure) cause() error {
	select {
	case <-f.failed:
		return f.err
	default:
		return nil
	}
}
