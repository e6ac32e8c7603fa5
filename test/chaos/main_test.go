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
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// shared is the control plane of nearly all tests. Each test runs its own Posterns in it, and restores its state.
var shared *cluster

// cluster is a control plane in which Postern is installed but not running.
type cluster struct{ *testcluster.Cluster }

func TestMain(m *testing.M) {
	testcluster.Main(m, func(ctx context.Context) error {
		c, err := testcluster.Start(ctx, controlplane.Options{})
		if err != nil {
			return err
		}
		shared = &cluster{c}
		if err := c.Install(ctx); err != nil {
			return errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
		}
		return nil
	}, func(ctx context.Context) error { return shared.Stop(ctx) })
}

// startPostern runs a Postern in the shared control plane for the duration of a test. The records of all tests are
// kept, beyond the default limit, so that none that a test needs is garbage-collected.
func startPostern(t *testing.T, options controlplane.PosternOptions) *controlplane.Postern {
	t.Helper()
	options.Flags = append([]string{"--max-deliveries=1000000", "--max-delivery-bytes=4294967296"}, options.Flags...)
	return shared.RunPostern(t, options)
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

// seeded returns a random source that CHAOS_SEED reproduces.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("CHAOS_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED: %v", err)
		}
	}
	t.Logf("CHAOS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}
