// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// buildPrograms builds the program for each platform, as "make release" does, which is reproducible.
func (r *release) buildPrograms(ctx context.Context) error {
	for _, platform := range r.platforms {
		environment := []string{"GOOS=" + platform.OS, "GOARCH=" + platform.Architecture, "GOFLAGS="}
		_, err := r.run(ctx, environment, "make", "--no-print-directory", "release", "RELEASE="+r.program(platform),
			"VERSION="+r.version, "REVISION="+r.revision, "DATE="+r.date.Format(time.RFC3339))
		if err != nil {
			return err
		}
	}
	return nil
}

// program returns the path of the program for a platform.
func (r *release) program(platform v1.Platform) string {
	return filepath.Join(r.dir, "postern-"+platform.OS+"-"+platform.Architecture)
}

// run runs a command in the checkout, with more variables, and returns its standard output, which is also shown.
func (r *release) run(ctx context.Context, environment []string, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = r.checkout
	command.Env = append(os.Environ(), environment...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	_, _ = os.Stdout.Write(output)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", filepath.Base(name), args[0], err)
	}
	return string(output), nil
}
