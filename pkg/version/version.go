// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package version knows the version of Postern. The one in k8s.io/component-base is the version of Kubernetes whose
// features the API server framework has.
package version

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// The linker sets these, see the Makefile.
var (
	version  string
	revision string
	date     string
)

const unknown = "unknown"

var buildInfo = metrics.NewGaugeVec(&metrics.GaugeOpts{
	Namespace: "postern", Name: "build_info", StabilityLevel: metrics.ALPHA,
	Help: "Always 1; the labels say which Postern this is.",
}, []string{"version", "revision", "go_version"})

// RegisterMetrics adds the metrics of this package to /metrics.
func RegisterMetrics() {
	legacyregistry.MustRegister(buildInfo)
	info := Get()
	buildInfo.WithLabelValues(info.Version, info.Revision, info.GoVersion).Set(1)
}

// Info describes what a program was built from. It has no time or place of the build, so that every build of a commit
// is the same.
type Info struct {
	// Version is the release, as git describes the commit.
	Version string
	// Revision is the commit, and Date its time, in RFC 3339.
	Revision, Date string
	// GoVersion and Platform are the compiler's version and target.
	GoVersion, Platform string
}

// Get returns what this program was built from: what the linker set, and otherwise what Go has recorded.
func Get() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return infoFrom(Info{Version: version, Revision: revision, Date: date}, build)
}

// infoFrom returns linked, with empty fields set from build.
func infoFrom(linked Info, build *debug.BuildInfo) Info {
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	module := build.Main.Version
	if module == "(devel)" { // no version
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

// String returns the text of --version.
func (i Info) String() string {
	return fmt.Sprintf("%s (commit %s of %s, %s, %s)", i.Version, i.Revision, i.Date, i.GoVersion, i.Platform)
}

// UserAgent returns the User-Agent of Postern's clients, which is in the audit log of the cluster.
func (i Info) UserAgent() string {
	const short = 12
	return fmt.Sprintf("postern/%s (%s) postern.dev/%.*s", i.Version, i.Platform, short, i.Revision)
}
