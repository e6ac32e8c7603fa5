// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern.dev/postern/test/node"
)

const (
	// patience allows for a machine that is busy with other tests.
	patience     = 3 * time.Minute
	pollInterval = 100 * time.Millisecond
	system       = "postern-system"
)

// suite is what all tests share.
var suite struct {
	repository string
	image      image
	skip       string // why no test can run; empty if they can
}

// kept returns the path of what is kept for the next run. Patterns of Go packages, such as ./..., leave out directories
// that begin with a dot: an image may contain Go files.
func kept(name string) string { return filepath.Join(suite.repository, "bin", ".e2e", name) }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		fmt.Print(disturbances.table())
		_ = os.RemoveAll(suite.image.dir)
	}()
	return m.Run()
}

func prepare() (err error) {
	if suite.repository, err = filepath.Abs("../.."); err != nil {
		return err
	}
	if os.Getenv("POSTERN_E2E") == "" {
		suite.skip = "\"make e2e\" runs it"
		return nil
	}
	if err := node.Requirements(suite.repository); err != nil {
		suite.skip = err.Error()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	suite.image, err = releasedImage(ctx, suite.repository, "e2e")
	return err
}
