// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package chaos breaks Postern, and what Postern stands on, while senders deliver, and proves that nothing that was
// accepted is lost. A ledger holds what was sent and answered; at the end the records and the targets are held against
// it. Each test's name says what it proves. One test breaks nothing: there a namespace whose owner is hostile does its
// worst beside an honest one.
//
// The tests are short unless CHAOS=long is set, as "make chaos" does. What is chosen at random follows a seed that is
// logged, and that CHAOS_SEED sets.
package chaos

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

// startTimeout bounds a start on a machine that is busy with other tests.
const startTimeout = 3 * time.Minute

// shared is the control plane of nearly all tests. Each runs Posterns of its own in it, and leaves it as it was.
var shared *cluster

// cluster is a control plane and the administrator's clients of it.
type cluster struct {
	*controlplane.ControlPlane

	kube       kubernetes.Interface
	objects    dynamic.Interface
	deliveries versioned.Interface
}

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if shared, err = startCluster(ctx, controlplane.Options{}); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shared.Stop(context.Background())) }()
	return m.Run(), nil
}

// startCluster starts a control plane in which Postern is installed and does not run yet.
func startCluster(ctx context.Context, o controlplane.Options) (*cluster, error) {
	control, err := controlplane.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &cluster{ControlPlane: control}
	if err := c.prepare(ctx); err != nil {
		return nil, errors.Join(err, control.Stop(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (c *cluster) prepare(ctx context.Context) (err error) {
	config := c.RESTConfig()
	if c.kube, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if c.objects, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	if c.deliveries, err = versioned.NewForConfig(config); err != nil {
		return err
	}
	return c.Install(ctx)
}

// startPostern runs a Postern in the shared control plane for the length of a test. The records of all tests are kept there, and
// are more than the default allows: a test must not miss those that gave way.
func startPostern(t *testing.T, options controlplane.PosternOptions) *controlplane.Postern {
	t.Helper()
	options.Flags = append([]string{"--max-deliveries=1000000", "--max-delivery-bytes=4294967296"}, options.Flags...)
	return shared.startPostern(t, options)
}

func (c *cluster) startPostern(t *testing.T, options controlplane.PosternOptions) *controlplane.Postern {
	t.Helper()
	postern, err := c.StartPostern(starting(t), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postern.Kill(); err != nil {
			t.Error(err)
		}
	})
	return postern
}

// starting returns a context for a start.
func starting(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	t.Cleanup(cancel)
	return ctx
}

// long tells whether the tests are to take their time.
func long() bool { return os.Getenv("CHAOS") == "long" }

// pick returns what is meant for the short or for the long form.
func pick[T any](short, atLength T) T {
	if long() {
		return atLength
	}
	return short
}
