// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package integration tests Postern's guarantees against a real kube-apiserver with Postern behind it. Each test has
// its own namespace, and its name is what it verifies.
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

// shared is the suite of most tests. Tests that stop Postern or need other flags start their own.
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
	shared, err = startSuite(ctx, "", controlplane.PosternOptions{Flags: verboseFlags})
	if err != nil {
		return 0, err
	}
	defer func() {
		// Last, so that all secrets of all tests could have leaked.
		err = errors.Join(err, shared.findLeaks(context.Background()), shared.stop(context.Background()))
	}()
	return m.Run(), nil
}
