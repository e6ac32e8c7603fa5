// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package version tells which Postern this is. It is not k8s.io/component-base/version: that is the version of Kubernetes
// whose features the API server framework has, and must stay what it is.
package version

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// The linker sets these, see the Makefile. The program never does.
var (
	version  string
	revision string
	date     string
)

const unknown = "unknown"

// Info says what a program was built from. Nothing in it tells when or where it was built: all who build a commit build
// the same.
type Info struct {
	// Version is that of the release, as git describes the commit.
	Version string
	// Revision is the commit, and Date when that was made, in RFC 3339.
	Revision, Date string
	// GoVersion and Platform are what it was compiled by and for.
	GoVersion, Platform string
}

// Get returns what this program was built from: what the linker was told, or else what Go found out by itself.
func Get() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return infoFrom(Info{Version: version, Revision: revision, Date: date}, build)
}

// infoFrom fills in what the linker was not told.
func infoFrom(linked Info, build *debug.BuildInfo) Info {
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	module := build.Main.Version
	if module == "(devel)" { // which says nothing
		module = ""
	}
	found := settings["vcs.revision"]
	if found != "" && settings["vcs.modified"] == "true" {
		found += "-dirty"
	}
	return Info{
		Version:   cmp.Or(linked.Version, module, unknown),
		Revision:  cmp.Or(linked.Revision, found, unknown),
		Date:      cmp.Or(linked.Date, settings["vcs.time"], unknown),
		GoVersion: cmp.Or(build.GoVersion, runtime.Version()),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// String is what --version prints.
func (i Info) String() string {
	return fmt.Sprintf("%s (commit %s of %s, %s, %s)", i.Version, i.Revision, i.Date, i.GoVersion, i.Platform)
}

// UserAgent is how Postern's clients introduce themselves, which the audit log of the cluster repeats.
func (i Info) UserAgent() string {
	const short = 12
	return fmt.Sprintf("postern/%s (%s) postern.dev/%.*s", i.Version, i.Platform, short, i.Revision)
}
