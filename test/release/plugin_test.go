// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"runtime"
	"strings"
	"testing"
)

var pluginPlatforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"}

// pluginFile returns the name of a file of the plugin for a platform.
func pluginFile(platform, suffix string) string {
	return "kubectl-postern-" + strings.ReplaceAll(platform, "/", "-") + suffix
}

// testPlugin installs the plugin with krew, from the archive instead of the address in the manifest.
func (r *released) testPlugin(t *testing.T) {
	for _, platform := range pluginPlatforms {
		suffix := ".tar.gz"
		if strings.HasPrefix(platform, "windows/") {
			suffix = ".zip"
		}
		for _, file := range []string{pluginFile(platform, suffix), pluginFile(platform, ".spdx.json")} {
			if r.sums[file] == "" {
				t.Errorf("there is no %s", file)
			}
		}
		sum := r.sums[pluginFile(platform, suffix)]
		if !strings.Contains(string(readFile(t, r.dir+"/krew.yaml")), sum) {
			t.Errorf("krew.yaml does not have the checksum of the archive for %s", platform)
		}
	}
	archive := r.dir + "/" + pluginFile(runtime.GOOS+"/"+runtime.GOARCH, ".tar.gz")
	krew := func(root, archive string) []string {
		return []string{
			"KREW_ROOT=" + root, absolute(t, "bin/tools/krew"), "install", "--manifest=" + r.dir + "/krew.yaml",
			"--archive=" + archive,
		}
	}
	root := t.TempDir()
	tool(t, "", "env", krew(root, archive)...)
	said := tool(t, "", "env", root+"/bin/kubectl-postern", "--version")
	if want := "kubectl postern version " + version + " (commit " + r.revision(t); !strings.HasPrefix(said, want) {
		t.Errorf("the plugin says %q, want %q", said, want)
	}

	changed := t.TempDir() + "/changed.tar.gz"
	writeFile(t, changed, changeByte(readFile(t, archive)))
	refused(t, "checksum does not match", "", "env", krew(t.TempDir(), changed)...)

	sbom := readFile(t, r.dir+"/"+pluginFile(runtime.GOOS+"/"+runtime.GOARCH, ".spdx.json"))
	checksums := r.checksums(t, sbom)
	if got, want := checksums["pkg:golang/postern.dev/postern@"+version],
		sha256Hex(readFile(t, root+"/bin/kubectl-postern")); got != want {
		t.Errorf("the SBOM is about a plugin with the checksum %q, want %s", got, want)
	}
}
