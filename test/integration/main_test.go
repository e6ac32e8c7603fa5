// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package integration tests Postern's guarantees against a real kube-apiserver with Postern behind it. Each test has
// its own namespace, and its name is what it verifies.
package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// shared is the suite of most tests. Tests that stop Postern or need other flags start their own.
var shared *suite

func TestMain(m *testing.M) {
	testcluster.Main(m, func(ctx context.Context) (err error) {
		shared, err = startSuite(ctx, "", controlplane.PosternOptions{Flags: verboseFlags})
		return err
	}, func(ctx context.Context) error {
		// Last, so that all secrets of all tests could have leaked.
		return errors.Join(shared.findLeaks(ctx), shared.stop(ctx))
	})
}

// suite is a control plane with Postern, and the administrator's clients.
type suite struct {
	*testcluster.Cluster
	postern *controlplane.Postern
	// path is the installation; empty means manifests/base, or the path in POSTERN_INSTALL.
	path string
}

func startSuite(ctx context.Context, path string, options controlplane.PosternOptions) (*suite, error) {
	c, err := testcluster.Start(ctx, controlplane.Options{})
	if err != nil {
		return nil, err
	}
	s := &suite{Cluster: c, path: path}
	if err := s.install(ctx, options); err != nil {
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *suite) install(ctx context.Context, options controlplane.PosternOptions) (err error) {
	install := s.Install
	if s.path != "" {
		install = func(ctx context.Context) error { return s.InstallPath(ctx, s.path) }
	}
	if err := install(ctx); err != nil {
		return err
	}
	if s.postern, err = s.StartPostern(ctx, options); err != nil {
		return fmt.Errorf("could not start Postern: %w", err)
	}
	return nil
}

// endPostern kills Postern, if it has been started.
func (s *suite) endPostern() error {
	if s.postern == nil {
		return nil
	}
	return s.postern.Kill()
}

func (s *suite) stop(ctx context.Context) error { return errors.Join(s.endPostern(), s.Stop(ctx)) }

// newSuite starts a control plane and a Postern with these flags for one test, and checks for leaks at the end.
func newSuite(t *testing.T, flags ...string) *suite {
	t.Helper()
	return newSuiteWith(t, controlplane.PosternOptions{Flags: flags})
}

// newSuiteWith is newSuite with options.
func newSuiteWith(t *testing.T, options controlplane.PosternOptions) *suite {
	t.Helper()
	return newSuiteOf(t, "", options)
}

// newSuiteOf is newSuiteWith for an installation; see suite.
func newSuiteOf(t *testing.T, path string, options controlplane.PosternOptions) *suite {
	t.Helper()
	options.Flags = append(options.Flags, verboseFlags...)
	s, err := startSuite(testcluster.StartContext(t), path, options)
	if err != nil {
		t.Fatal(err)
	}
	testcluster.AtEnd(t, func() error {
		ctx := context.Background()
		return errors.Join(s.findLeaks(ctx), s.stop(ctx))
	})
	return s
}
