// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
)

// newLogger returns a logger that writes etcd's warnings and errors to klog, so that the process has one log. It is
// silent once closing is set, because etcd logs errors about connections that an orderly stop closes. Fatal entries and
// panics go to failure.
func newLogger(closing *atomic.Bool, failure *failure) *zap.Logger {
	core := &klogCore{LevelEnabler: zapcore.WarnLevel, closing: closing}
	return zap.New(core, zap.WithFatalHook(failure), zap.WithPanicHook(failure))
}

type klogCore struct {
	zapcore.LevelEnabler
	closing *atomic.Bool
	fields  []zapcore.Field
}

func (c *klogCore) With(fields []zapcore.Field) zapcore.Core {
	all := append(append([]zapcore.Field{}, c.fields...), fields...)
	return &klogCore{LevelEnabler: c.LevelEnabler, closing: c.closing, fields: all}
}

func (c *klogCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) || c.closing.Load() {
		return checked
	}
	return checked.AddCore(entry, c)
}

func (c *klogCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	for _, f := range append(append([]zapcore.Field{}, c.fields...), fields...) {
		f.AddTo(values)
	}
	if entry.Level >= zapcore.ErrorLevel {
		klog.ErrorS(nil, entry.Message, "component", "etcd", "details", values.Fields)
	} else {
		klog.InfoS(entry.Message, "component", "etcd", "details", values.Fields)
	}
	return nil
}

func (c *klogCore) Sync() error { return nil }
