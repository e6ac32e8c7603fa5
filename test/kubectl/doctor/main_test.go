// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package doctor tests the command doctor in set-ups that are broken in one way each: a delivery fails, the command
// names the cause and the command that mends it, that command is run in a shell, and a delivery succeeds. All of it is
// real: the control plane, Postern, kubectl.
package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/cmd/kubectl-postern/app"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// pluginVariable makes this program act as the plugin, so that kubectl finds it without a build of its own.
const pluginVariable = "POSTERN_TEST_IS_PLUGIN"

// cluster is the control plane of all set-ups.
var cluster *suite

// suite is a control plane with Postern, whose log the kube-apiserver can read.
type suite struct {
	*testcluster.Cluster
	postern *controlplane.Postern
	kubelet *kubelet
	// programs is a directory with kubectl and the plugin.
	programs string
}

func TestMain(m *testing.M) {
	if os.Getenv(pluginVariable) != "" {
		os.Exit(app.Run(os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
	}
	testcluster.Main(m, func(ctx context.Context) (err error) {
		cluster, err = start(ctx)
		return err
	}, func(ctx context.Context) error { return cluster.stop(ctx) })
}

func start(ctx context.Context) (_ *suite, err error) {
	s := &suite{}
	if s.Cluster, err = testcluster.Start(ctx, controlplane.Options{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := s.Install(ctx); err != nil {
		return nil, err
	}
	if s.postern, err = s.StartPostern(ctx, controlplane.PosternOptions{}); err != nil {
		return nil, err
	}
	if s.kubelet, err = s.startKubelet(ctx); err != nil {
		return nil, err
	}
	return s, s.linkPrograms(ctx)
}

func (s *suite) stop(ctx context.Context) error {
	var errs []error
	if s.kubelet != nil {
		s.kubelet.close()
	}
	if s.postern != nil {
		errs = append(errs, s.postern.Kill())
	}
	return errors.Join(append(errs, s.Stop(ctx))...)
}

// linkPrograms makes the directory for PATH.
func (s *suite) linkPrograms(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.programs = filepath.Join(s.Dir(), "programs")
	const executable = 0o700
	return errors.Join(
		os.Mkdir(s.programs, executable),
		os.Symlink(s.KubectlCommand(ctx, "").Path, filepath.Join(s.programs, "kubectl")),
		os.WriteFile(filepath.Join(s.programs, "kubectl-postern"),
			[]byte("#!/bin/sh\n"+pluginVariable+"=1 exec "+self+" \"$@\"\n"), executable),
	)
}
