// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package version

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const platform = runtime.GOOS + "/" + runtime.GOARCH

func TestGet_LinkerBeforeBuildInfo(t *testing.T) {
	linked := Info{Version: "v1.2.3", Revision: "0123456789abcdef", Date: "2026-01-02T03:04:05Z"}
	fromGit := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "fedcba9876543210"}, {Key: "vcs.time", Value: "2025-01-02T03:04:05Z"},
		{Key: "vcs.modified", Value: "false"},
	}
	modified := append(fromGit[:2:2], debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	goBuild := func(version string, settings []debug.BuildSetting) debug.BuildInfo {
		return debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: version}, Settings: settings}
	}
	for name, test := range map[string]struct {
		linked Info
		build  debug.BuildInfo
		want   Info
	}{
		"linked": {linked, goBuild("v9.9.9", fromGit),
			Info{"v1.2.3", "0123456789abcdef", "2026-01-02T03:04:05Z", "go1.26.8", platform}},
		"installed as a module": {Info{}, goBuild("v1.2.3", nil),
			Info{"v1.2.3", "unknown", "unknown", "go1.26.8", platform}},
		"from a checkout": {Info{}, goBuild("(devel)", fromGit),
			Info{"unknown", "fedcba9876543210", "2025-01-02T03:04:05Z", "go1.26.8", platform}},
		"from a changed checkout": {Info{}, goBuild("(devel)", modified),
			Info{"unknown", "fedcba9876543210-dirty", "2025-01-02T03:04:05Z", "go1.26.8", platform}},
		"nothing": {Info{}, debug.BuildInfo{}, Info{"unknown", "unknown", "unknown", runtime.Version(), platform}},
	} {
		if diff := cmp.Diff(test.want, infoFrom(test.linked, &test.build)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestInfo_String(t *testing.T) {
	info := Info{"v1.2.3", "0123456789abcdef0123456789abcdef01234567", "2026-01-02T03:04:05Z", "go1.26.8",
		"linux/amd64"}
	want := "v1.2.3 (commit 0123456789abcdef0123456789abcdef01234567 of 2026-01-02T03:04:05Z, go1.26.8, linux/amd64)"
	if got := info.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want = "postern/v1.2.3 (linux/amd64) postern.dev/0123456789ab"
	if got := info.UserAgent(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
