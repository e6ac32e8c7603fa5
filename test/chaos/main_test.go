// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package chaos breaks Postern and its dependencies while senders deliver, and verifies that no accepted delivery is
// lost. A ledger records requests and answers; at the end it is compared with the records and the targets. The name of
// each test is what it verifies. One test breaks nothing: it runs a hostile namespace next to an honest one.
//
// The tests are short unless CHAOS=long is set, as "make chaos" does. Random choices follow a logged seed, which
// CHAOS_SEED sets.
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

// startTimeout allows for a machine that is busy with other tests.
const startTimeout = 3 * time.Minute

// shared is the control plane of nearly all tests. Each test runs its own Posterns in it, and restores its state.
var shared *cluster

// cluster is a control plane with the administrator's clients.
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

// startCluster starts a control plane in which Postern is installed but not running.
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

// startPostern runs a Postern in the shared control plane for the duration of a test. The records of all tests are
// kept, beyond the default limit, so that none that a test needs is garbage-collected.
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

// starting returns a context for starting a program.
func starting(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	t.Cleanup(cancel)
	return ctx
}

// long reports whether the long form is selected.
func long() bool { return os.Getenv("CHAOS") == "long" }

// pick returns the value for the short or the long form.
func pick[T any](short, atLength T) T {
	if long() {
		return atLength
	}
	return short
}
