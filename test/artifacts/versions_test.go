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

// The workflow builds releases with the Go of go.mod, others build the image with that of the Dockerfile. What makes a
// release compresses image and chart with its own.
func TestGoVersion_IsOne(t *testing.T) {
	dockerfile := goOfDockerfile.FindSubmatch(read(t, "../../Dockerfile"))
	for _, file := range []string{"go.mod", "hack/helm/go.mod", "hack/release/go.mod"} {
		module := goOfModule.FindSubmatch(read(t, "../../"+file))
		if dockerfile == nil || module == nil || string(dockerfile[1]) != string(module[1]) {
			t.Errorf("the Dockerfile has Go %q, %s has %q", dockerfile, file, module)
		}
	}
}

var (
	chartVersions   = regexp.MustCompile(`(?m)^(?:version|appVersion): (.+)$`)
	releaseVersions = regexp.MustCompile(
		`(?:download/v|postern:v|postern-|postern/v|deliver@v|--version |VERSION=v)(\d+\.\d+\.\d+)\b`)
)

// The documentation names the version that is released next, or was released last: that of the chart.
func TestVersion_OfDocumentationIsTheCharts(t *testing.T) {
	charts := chartVersions.FindAllSubmatch(read(t, "../../charts/postern/Chart.yaml"), -1)
	if len(charts) != 2 || string(charts[0][1]) != string(charts[1][1]) {
		t.Fatalf("the chart has the versions %q", charts)
	}
	for _, page := range []string{
		"README.md", "charts/postern/README.md", "docs/install.md", "docs/install/helm.md", "docs/kubectl.md",
		"docs/releases.md", "docs/senders/ci.md", "artifacts/senders/github-actions.yaml",
		"artifacts/senders/gitlab-ci.yaml",
	} {
		named := releaseVersions.FindAllSubmatch(read(t, "../../"+page), -1)
		if len(named) == 0 {
			t.Errorf("%s names no version", page)
		}
		for _, version := range named {
			if string(version[1]) != string(charts[0][1]) {
				t.Errorf("%s has %s, want %s", page, version[0], charts[0][1])
			}
		}
	}
}
