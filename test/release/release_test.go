// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const version = "v0.0.0-test"

var platforms = []string{"linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x"}

// released is a release in a registry.
type released struct {
	// host is that of the registry with its port, registry a path there, image and chart are references without a tag.
	host, registry, image, chart string
	// dir has the files of the release.
	dir string
	// keys has the key pair cosign of the release, and the key pair other.
	keys string
	// digest and chartDigest are those of the index and of the chart.
	digest, chartDigest string
	// sums are the checksums of files by name.
	sums map[string]string
}

func TestRelease(t *testing.T) {
	if os.Getenv("POSTERN_RELEASE") == "" {
		t.Skip(`"make test-release" runs it`)
	}
	r := newReleased(t)
	t.Run("files", r.testFiles)
	t.Run("signature of the checksums", r.testSignatureOfSums)
	t.Run("image", r.testImage)
	t.Run("signatures in the registry", r.testSignatures)
	t.Run("provenance", r.testProvenance)
	t.Run("SBOM", r.testSBOM)
	t.Run("manifests", r.testManifests)
	t.Run("chart", r.testChart)
	t.Run("installed in a node", r.testInstall)
	t.Run("plugin", r.testPlugin)
	t.Run("again", r.testReproducible)
}

func newReleased(t *testing.T) *released {
	t.Helper()
	host := startRegistry(t)
	registry := host + "/team"
	dir, err := filepath.Abs(filepath.Join(checkout, "bin/release", version))
	if err != nil {
		t.Fatal(err)
	}
	r := &released{
		host: host, registry: registry, image: registry + "/postern", chart: registry + "/charts/postern", dir: dir,
		keys: t.TempDir(),
	}
	for _, name := range []string{"cosign", "other"} {
		tool(t, r.keys, "bin/senders/cosign", "generate-key-pair", "--output-key-prefix="+name)
	}
	r.make(t)
	return r
}

// make makes the release, and reads its digests and checksums.
func (r *released) make(t *testing.T) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "make", "--no-print-directory", "release-all", "VERSION="+version,
		"REGISTRY="+r.registry, "PLATFORMS="+strings.Join(platforms, " "),
		"PLUGIN_PLATFORMS="+strings.Join(pluginPlatforms, " "))
	command.Dir = checkout
	command.Env = append(os.Environ(), "COSIGN_KEY="+r.keys+"/cosign.key", "COSIGN_PASSWORD=",
		"GITHUB_REPOSITORY=", "GITHUB_WORKFLOW_REF=") // as on a developer's machine
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	r.digest = r.remoteDigest(t, r.image+":"+version)
	r.chartDigest = r.remoteDigest(t, r.chart+":"+strings.TrimPrefix(version, "v"))
	r.sums = map[string]string{}
	for line := range strings.Lines(string(readFile(t, r.dir+"/SHA256SUMS"))) {
		fields := strings.Fields(line)
		r.sums[fields[1]] = fields[0]
	}
}

func (r *released) remoteDigest(t *testing.T, reference string) string {
	t.Helper()
	return strings.TrimSpace(tool(t, "", "bin/senders/crane", "digest", reference))
}

func (r *released) testFiles(t *testing.T) {
	tool(t, r.dir, "sha256sum", "--check", "--strict", "SHA256SUMS")
	files, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if r.sums[file.Name()] == "" && !strings.HasPrefix(file.Name(), "SHA256SUMS") {
			t.Errorf("%s has no checksum", file.Name())
		}
	}
	for _, platform := range platforms {
		if r.sums[program(platform)] == "" {
			t.Errorf("there is no program for %s", platform)
		}
	}

	changed := t.TempDir()
	writeFile(t, changed+"/SHA256SUMS", string(readFile(t, r.dir+"/SHA256SUMS")))
	writeFile(t, changed+"/install.yaml", changeByte(readFile(t, r.dir+"/install.yaml")))
	refused(t, "install.yaml: FAILED", changed, "sha256sum", "--check", "--ignore-missing", "SHA256SUMS")
}

// program returns the name of the program for a platform.
func program(platform string) string { return "postern-" + strings.ReplaceAll(platform, "/", "-") }

// changeByte changes one bit in the middle.
func changeByte(content []byte) string {
	changed := slices.Clone(content)
	changed[len(changed)/2] ^= 1
	return string(changed)
}

func (r *released) testSignatureOfSums(t *testing.T) {
	verify := func(key, file string) []string {
		return []string{
			"verify-blob", "--key=" + r.keys + "/" + key, "--bundle=" + r.dir + "/SHA256SUMS.sigstore.json",
			"--insecure-ignore-tlog", file,
		}
	}
	sums := r.dir + "/SHA256SUMS"
	tool(t, "", "bin/senders/cosign", verify("cosign.pub", sums)...)
	refused(t, "invalid signature", "", "bin/senders/cosign", verify("other.pub", sums)...)
	changed := t.TempDir() + "/SHA256SUMS"
	writeFile(t, changed, changeByte(readFile(t, sums)))
	refused(t, "invalid signature", "", "bin/senders/cosign", verify("cosign.pub", changed)...)
}

func (r *released) testManifests(t *testing.T) {
	var images []string
	for line := range strings.Lines(string(readFile(t, r.dir+"/install.yaml"))) {
		if _, image, ok := strings.Cut(line, " image: "); ok {
			images = append(images, strings.Trim(image, "\"\n"))
		}
	}
	if want := []string{r.pinned()}; !slices.Equal(images, want) {
		t.Errorf("install.yaml has the images %q, want %q", images, want)
	}
}

// pinned is how chart and manifests name the image.
func (r *released) pinned() string { return r.image + ":" + version + "@" + r.digest }

func (r *released) testChart(t *testing.T) {
	dir, chartVersion := t.TempDir(), strings.TrimPrefix(version, "v")
	tool(t, dir, "bin/tools/helm", "pull", "oci://"+r.chart, "--version="+chartVersion, "--plain-http")
	file := "postern-" + chartVersion + ".tgz"
	if got := sha256Hex(readFile(t, dir+"/"+file)); got != r.sums[file] {
		t.Errorf("the pulled chart has the checksum %s, want %s", got, r.sums[file])
	}
	described := tool(t, dir, "bin/tools/helm", "show", "chart", file)
	for _, want := range []string{"\nappVersion: " + chartVersion + "\n", "\nversion: " + chartVersion + "\n"} {
		if !strings.Contains("\n"+described, want) {
			t.Errorf("%q is missing in Chart.yaml:\n%s", want, described)
		}
	}
	rendered := tool(t, dir, "bin/tools/helm", "template", "postern", file, "--namespace=postern-system")
	if want := "image: \"" + r.pinned() + "\"\n"; strings.Count(rendered, want) != 1 {
		t.Errorf("the rendered chart does not name once %s", want)
	}
}

// A second run makes the same files and digests.
func (r *released) testReproducible(t *testing.T) {
	first := *r
	sums := string(readFile(t, r.dir+"/SHA256SUMS"))
	r.make(t)
	if again := string(readFile(t, r.dir+"/SHA256SUMS")); again != sums {
		t.Errorf("the second run has the checksums\n%swant\n%s", again, sums)
	}
	if r.digest != first.digest || r.chartDigest != first.chartDigest {
		t.Errorf("the second run pushed image and chart %s and %s, want %s and %s", r.digest, r.chartDigest,
			first.digest, first.chartDigest)
	}
}
