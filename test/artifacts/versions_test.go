// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"regexp"
	"testing"
)

var (
	goOfDockerfile = regexp.MustCompile(`(?m)^ARG GO_VERSION=(.+)$`)
	goOfModule     = regexp.MustCompile(`(?m)^toolchain go(.+)$`)
)

// The workflow builds releases with the Go of go.mod, others build the image with that of the Dockerfile.
func TestGoVersion_IsOne(t *testing.T) {
	dockerfile := goOfDockerfile.FindSubmatch(read(t, "../../Dockerfile"))
	module := goOfModule.FindSubmatch(read(t, "../../go.mod"))
	if dockerfile == nil || module == nil || string(dockerfile[1]) != string(module[1]) {
		t.Errorf("the Dockerfile has Go %q, go.mod has %q", dockerfile, module)
	}
}
