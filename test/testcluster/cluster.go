// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package testcluster has the helpers of tests that run in a real control plane. It starts control planes, Posterns and
// etcds for the duration of a test, and creates the namespace of a test with its objects, permissions, senders and
// admission webhooks. Package controlplane, which runs the programs, knows neither tests nor Postern's API.
package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"postern.dev/postern/pkg/generated/clientset/versioned"
	"postern.dev/postern/test/controlplane"
)

const (
	// StartTimeout limits the start of a program. It allows for a machine that is busy with other tests.
	StartTimeout = 3 * time.Minute
	// Patience is the timeout for changes that take no time on an idle machine.
	Patience = time.Minute
)

// Cluster is a control plane with the administrator's clients.
type Cluster struct {
	*controlplane.ControlPlane

	Kube       kubernetes.Interface
	Objects    dynamic.Interface
	Deliveries versioned.Interface
}

// Main runs the tests of a package between start and stop, and exits. It does not call stop if start fails.
func Main(m *testing.M, start, stop func(context.Context) error) {
	code, err := run(m, start, stop)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, start, stop func(context.Context) error) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	if err := start(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop(context.Background())) }()
	return m.Run(), nil
}

// Start starts a control plane without Postern.
func Start(ctx context.Context, o controlplane.Options) (_ *Cluster, err error) {
	c := &Cluster{}
	if c.ControlPlane, err = controlplane.Start(ctx, o); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
		}
	}()
	config := c.RESTConfig()
	if c.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.Objects, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	c.Deliveries, err = versioned.NewForConfig(config)
	return c, err
}

// StartWithPostern starts a control plane with Postern.
func StartWithPostern(ctx context.Context) (_ *Cluster, _ *controlplane.Postern, err error) {
	c, err := Start(ctx, controlplane.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := c.Install(ctx); err != nil {
		return nil, nil, err
	}
	postern, err := c.StartPostern(ctx, controlplane.PosternOptions{})
	return c, postern, err
}

// New is Start for the duration of a test.
func New(t *testing.T, o controlplane.Options) *Cluster {
	t.Helper()
	c, err := Start(StartContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	AtEnd(t, func() error { return c.Stop(context.Background()) })
	return c
}

// RunPostern runs the installed Postern for the duration of a test.
func (c *Cluster) RunPostern(t *testing.T, o controlplane.PosternOptions) *controlplane.Postern {
	t.Helper()
	postern, err := c.StartPostern(StartContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	AtEnd(t, postern.Kill)
	explainEnd(t, postern)
	return postern
}

// explainEnd logs, at the end of a failed test, why a Postern has ended.
func explainEnd(t *testing.T, posterns ...*controlplane.Postern) {
	t.Cleanup(func() {
		for _, p := range posterns {
			if t.Failed() && !p.Running() {
				t.Logf("a Postern has ended; %s", p.LogTail())
			}
		}
	})
}

// RunReplicas runs n replicas of the installed Postern for the duration of a test.
func (c *Cluster) RunReplicas(t *testing.T, n int, o controlplane.PosternOptions) *controlplane.Replicas {
	t.Helper()
	replicas, err := c.StartReplicas(StartContext(t), n, o)
	if err != nil {
		t.Fatal(err)
	}
	AtEnd(t, replicas.Kill)
	explainEnd(t, replicas.All()...)
	return replicas
}

// RunEtcd runs an etcd for Postern's storage with n members for the duration of a test.
func (c *Cluster) RunEtcd(t *testing.T, n int) *controlplane.EtcdCluster {
	t.Helper()
	etcd, err := c.StartEtcdCluster(StartContext(t), n)
	if err != nil {
		t.Fatal(err)
	}
	AtEnd(t, etcd.Stop)
	return etcd
}

// RunProgram runs another program for the duration of a test.
func (c *Cluster) RunProgram(t *testing.T, o controlplane.ProgramOptions) *controlplane.Program {
	t.Helper()
	program, err := c.StartProgram(o)
	if err != nil {
		t.Fatal(err)
	}
	AtEnd(t, program.Kill)
	return program
}

// MustKubectl runs kubectl as the administrator and returns its output. The test fails if kubectl fails.
func (c *Cluster) MustKubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(StartContext(t), stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// StartContext returns a context for starting a program in a test.
func StartContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), StartTimeout)
	t.Cleanup(cancel)
	return ctx
}

// AtEnd calls f at the end of a test, which fails if f does.
func AtEnd(t *testing.T, f func() error) {
	t.Cleanup(func() {
		if err := f(); err != nil {
			t.Error(err)
		}
	})
}
