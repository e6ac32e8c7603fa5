// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package integration proves, against a real kube-apiserver with Postern behind it, what Postern promises. Each test
// has a namespace of its own, and its name says what it proves.
package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
)

const startTimeout = 3 * time.Minute

// shared is what most tests use: one control plane with one Postern. Tests that stop Postern, or start it with other
// flags, start a control plane of their own.
var shared *suite

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
	shared, err = startSuite(ctx, "", controlplane.PosternOptions{Flags: tellEverything})
	if err != nil {
		return 0, err
	}
	defer func() {
		// Last, so that every secret of every test has had its chance to leak.
		err = errors.Join(err, shared.findLeaks(context.Background()), shared.stop(context.Background()))
	}()
	return m.Run(), nil
}
