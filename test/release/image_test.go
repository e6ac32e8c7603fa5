// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wrongKey is what cosign says of a signature by another key.
const wrongKey = "failed to verify signature"

// platformImages returns the references of the images in the index by platform.
func (r *released) platformImages(t *testing.T) map[string]string {
	t.Helper()
	var index struct {
		MediaType string `json:"mediaType"`
		Manifests []struct {
			Digest   string `json:"digest"`
			Platform struct {
				OS           string `json:"os"`
				Architecture string `json:"architecture"`
			} `json:"platform"`
		} `json:"manifests"`
	}
	parseJSON(t, tool(t, "", "bin/senders/crane", "manifest", r.image+"@"+r.digest), &index)
	if want := "application/vnd.oci.image.index.v1+json"; index.MediaType != want {
		t.Errorf("the image has the type %s, want %s", index.MediaType, want)
	}
	images := map[string]string{}
	for _, manifest := range index.Manifests {
		images[manifest.Platform.OS+"/"+manifest.Platform.Architecture] = r.image + "@" + manifest.Digest
	}
	return images
}

func (r *released) testImage(t *testing.T) {
	images := r.platformImages(t)
	if len(images) != len(platforms) {
		t.Errorf("the image is for %v, want %v", images, platforms)
	}
	for _, platform := range platforms {
		files := r.exported(t, images[platform])
		if got := sha256Hex(files["postern"]); got != r.sums[program(platform)] {
			t.Errorf("the image for %s has a program with the checksum %s, want %s", platform, got,
				r.sums[program(platform)])
		}
		if !strings.HasPrefix(string(files["etc/ssl/certs/ca-certificates.crt"]), "-----BEGIN CERTIFICATE-----") {
			t.Errorf("the image for %s has no certificates", platform)
		}
		if len(files) != 2 {
			t.Errorf("the image for %s has %d files, want 2", platform, len(files))
		}
	}
	own := r.dir + "/" + program(runtime.GOOS+"/"+runtime.GOARCH)
	said := tool(t, "", "env", own, "--version")
	if !strings.HasPrefix(said, "postern "+version+" (commit "+r.revision(t)) {
		t.Errorf("the program says %q", said)
	}
}

// revision returns the commit that make releases.
func (r *released) revision(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(tool(t, "", "hack/version.sh", "revision"))
}

// exported returns the regular files of an image by path.
func (r *released) exported(t *testing.T, image string) map[string][]byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	tool(t, "", "bin/senders/crane", "export", image, path)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	files := map[string][]byte{}
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *released) testSignatures(t *testing.T) {
	artifacts := []string{r.image + ":" + version, r.image + "@" + r.digest, r.chart + "@" + r.chartDigest}
	for _, image := range r.platformImages(t) {
		artifacts = append(artifacts, image)
	}
	for _, artifact := range artifacts {
		tool(t, "", "bin/senders/cosign", r.verify("verify", "cosign.pub", artifact)...)
		refused(t, wrongKey, "", "bin/senders/cosign", r.verify("verify", "other.pub", artifact)...)
	}
	changed := r.image + ":changed"
	tool(t, "", "bin/senders/crane", "mutate", r.platformImages(t)["linux/amd64"], "--user=0", "--tag="+changed)
	refused(t, "no signatures found", "", "bin/senders/cosign", r.verify("verify", "cosign.pub", changed)...)
}

// verify returns the arguments of cosign to verify an artifact in the registry.
func (r *released) verify(command, key, artifact string, more ...string) []string {
	return slices.Concat([]string{command}, more, []string{
		"--key=" + r.keys + "/" + key, "--insecure-ignore-tlog", "--allow-http-registry", artifact,
	})
}

func (r *released) testProvenance(t *testing.T) {
	for _, artifact := range []string{r.image + "@" + r.digest, r.chart + "@" + r.chartDigest} {
		s := r.attested(t, artifact, "slsaprovenance1")
		if want := "https://slsa.dev/provenance/v1"; s.PredicateType != want {
			t.Errorf("%s has a statement of type %s, want %s", artifact, s.PredicateType, want)
		}
		var predicate struct {
			BuildDefinition struct {
				ExternalParameters   map[string]string `json:"externalParameters"`
				ResolvedDependencies []struct {
					URI    string            `json:"uri"`
					Digest map[string]string `json:"digest"`
				} `json:"resolvedDependencies"`
			} `json:"buildDefinition"`
		}
		parseJSON(t, string(s.Predicate), &predicate)
		build := predicate.BuildDefinition
		if got := build.ExternalParameters["version"]; got != version {
			t.Errorf("%s has the version %q in its provenance, want %s", artifact, got, version)
		}
		if len(build.ResolvedDependencies) != 1 ||
			build.ResolvedDependencies[0].URI != "git+https://github.com/postern-dev/postern" ||
			build.ResolvedDependencies[0].Digest["gitCommit"] != r.revision(t) {
			t.Errorf("%s was built from %+v, want the commit %s", artifact, build.ResolvedDependencies, r.revision(t))
		}
	}
}

// attested returns the statement of a kind about an artifact, whose signature and digest are verified. Another key
// is refused.
func (r *released) attested(t *testing.T, artifact, kind string) statement {
	t.Helper()
	refused(t, wrongKey, "", "bin/senders/cosign",
		r.verify("verify-attestation", "other.pub", artifact, "--type="+kind)...)
	s := parseStatement(t, tool(t, "", "bin/senders/cosign",
		r.verify("verify-attestation", "cosign.pub", artifact, "--type="+kind)...))
	_, digest, _ := strings.Cut(artifact, "@sha256:")
	if len(s.Subject) != 1 || s.Subject[0].Digest["sha256"] != digest {
		t.Errorf("the statement about %s is about %+v", artifact, s.Subject)
	}
	return s
}

func (r *released) testSBOM(t *testing.T) {
	listed := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/apiserver")
	listed.Dir = checkout
	apiserver, err := listed.Output()
	if err != nil {
		t.Fatal(err)
	}
	for platform, image := range r.platformImages(t) {
		file := program(platform) + ".spdx.json"
		var published, attested any
		parseJSON(t, string(readFile(t, r.dir+"/"+file)), &published)
		statement := r.attested(t, image, "spdxjson")
		parseJSON(t, string(statement.Predicate), &attested)
		if diff := cmp.Diff(published, attested); diff != "" {
			t.Errorf("the SBOM of %s is not %s (-published +attested):\n%s", image, file, diff)
		}
		checksums := r.checksums(t, statement.Predicate)
		if _, ok := checksums["pkg:golang/k8s.io/apiserver@"+strings.TrimSpace(string(apiserver))]; !ok {
			t.Errorf("%s does not list k8s.io/apiserver %s", file, apiserver)
		}
		if got := checksums["pkg:golang/postern.dev/postern@"+version]; got != r.sums[program(platform)] {
			t.Errorf("%s is about a program with the checksum %q, want %s", file, got, r.sums[program(platform)])
		}
	}
}

// checksums returns the checksums of the packages in an SBOM by their package URL, empty if they have none.
func (r *released) checksums(t *testing.T, sbom json.RawMessage) map[string]string {
	t.Helper()
	var document struct {
		Packages []struct {
			Checksums []struct {
				Value string `json:"checksumValue"`
			} `json:"checksums"`
			References []struct {
				Locator string `json:"referenceLocator"`
			} `json:"externalRefs"`
		} `json:"packages"`
	}
	parseJSON(t, string(sbom), &document)
	found := map[string]string{}
	for _, p := range document.Packages {
		checksum := ""
		if len(p.Checksums) > 0 {
			checksum = p.Checksums[0].Value
		}
		found[p.References[0].Locator] = checksum
	}
	return found
}
