// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestWriteManifests_AreTheBaseWithTheImageByDigest(t *testing.T) {
	r := newTestRelease(t)
	i := newTestImage(t, r)
	if err := r.writeManifests(i); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(r.dir, manifestsFile))
	if err != nil {
		t.Fatal(err)
	}
	want := `image: "registry.example.com/team/postern:v1.2.3@` + i.digest.String() + `"`
	if strings.Count(string(written), want) != 1 || strings.Count(string(written), " image: ") != 1 {
		t.Errorf("the image is not named once as %s", want)
	}
	base, err := filepath.Glob("../../manifests/base/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wantObjects := map[string]int{}
	for _, file := range base {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		countObjects(t, string(text), wantObjects)
	}
	objects := map[string]int{}
	countObjects(t, string(written), objects)
	if diff := cmp.Diff(wantObjects, objects); diff != "" {
		t.Errorf("the objects are not those of manifests/base (-want +got):\n%s", diff)
	}
}

// countObjects counts the objects in a stream of YAML by kind and name.
func countObjects(t *testing.T, stream string, counts map[string]int) {
	t.Helper()
	for document := range strings.SplitSeq(stream, "\n---\n") {
		var object struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		if object.Kind == "" || object.Metadata.Name == "" {
			t.Errorf("not an object: %q", document)
		}
		counts[object.Kind+"/"+object.Metadata.Name]++
	}
}

func TestReadBase_RefusesWhatNeedsKustomize(t *testing.T) {
	dir := t.TempDir()
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\nnamePrefix: my-\n"
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readBase(dir); err == nil || !strings.Contains(err.Error(), "namePrefix") {
		t.Errorf("got the error %v, want one about namePrefix", err)
	}
}

func TestReleasedValues_NameTheImageByDigest(t *testing.T) {
	text, err := os.ReadFile("../../charts/postern/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	i := newTestImage(t, newTestRelease(t))
	released, err := releasedValues(string(text), i)
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]any
	if err := yaml.Unmarshal(text, &before); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(released), &after); err != nil {
		t.Fatal(err)
	}
	want := before["image"].(map[string]any)
	want["repository"], want["tag"] = "registry.example.com/team/postern", "v1.2.3@"+i.digest.String()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("unexpected values (-want +got):\n%s", diff)
	}
}

func TestCheckChartVersion(t *testing.T) {
	checkout := t.TempDir()
	if err := os.MkdirAll(filepath.Join(checkout, "charts/postern"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		chart, release string
		valid          bool
	}{
		{"version: 1.2.3\nappVersion: 1.2.3\n", "v1.2.3", true},
		{"version: 1.2.3\nappVersion: 1.2.3\n", "v1.2.4", false},
		{"version: 1.2.4\nappVersion: 1.2.3\n", "v1.2.4", false},
		{"version: 1.2.3\nappVersion: 1.2.3\n", "v1.2.4-rc.1", true},
	} {
		file := filepath.Join(checkout, "charts/postern/Chart.yaml")
		if err := os.WriteFile(file, []byte(c.chart), 0o600); err != nil {
			t.Fatal(err)
		}
		r := &release{checkout: checkout, version: c.release}
		if err := r.checkChartVersion(); (err == nil) != c.valid {
			t.Errorf("%q for the release %s: got the error %v", c.chart, c.release, err)
		}
	}
}

func TestReplaceOnly_RefusesAmbiguousText(t *testing.T) {
	for _, text := range []string{"", "image, image"} {
		if got, err := replaceOnly(text, "image", "other"); err == nil {
			t.Errorf("%q became %q, want an error", text, got)
		}
	}
}

func TestVersions(t *testing.T) {
	for version, valid := range map[string]bool{
		"v1.2.3": true, "v0.1.0-rc.1": true, "v0.0.0-0-g0123456789ab-dirty": true,
		"unknown": false, "1.2.3": false, "v1.2": false, "v1.2.3+build": false, "v01.2.3": false, "v1.2.3/..": false,
	} {
		if got := versions.MatchString(version); got != valid {
			t.Errorf("%s: valid is %t, want %t", version, got, valid)
		}
	}
}

func TestPlainHTTP(t *testing.T) {
	for registry, want := range map[string]bool{
		"127.0.0.1:5000/team": true, "localhost:5000": true,
		"ghcr.io/postern-dev": false, "registry.example.com:80/x": false,
	} {
		if got := plainHTTP(registry); got != want {
			t.Errorf("%s: plain HTTP is %t, want %t", registry, got, want)
		}
	}
}

func TestNewSigner_NeedsAKeyOrAnIdentity(t *testing.T) {
	r := &release{registry: "ghcr.io/postern-dev"}
	for _, variables := range []struct {
		key, identity string
		valid         bool
	}{
		{"", "", false}, {"cosign.key", "", true}, {"", "https://token.example.com", true},
	} {
		t.Setenv("COSIGN_KEY", variables.key)
		t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", variables.identity)
		if _, err := newSigner(r); (err == nil) != variables.valid {
			t.Errorf("%+v: got the error %v", variables, err)
		}
	}
}

func TestProvenance_NamesRepositoryAndWorkflow(t *testing.T) {
	variables := map[string]string{
		"GITHUB_WORKFLOW_REF": "fork/postern/.github/workflows/release.yaml@refs/tags/v1.2.3",
		"GITHUB_SERVER_URL":   "https://github.com", "GITHUB_REPOSITORY": "fork/postern",
		"GITHUB_RUN_ID": "42", "GITHUB_RUN_ATTEMPT": "1",
	}
	for _, c := range []struct{ name, source, run string }{
		{"workflow", "https://github.com/fork/postern",
			`{"builder":{"id":"https://github.com/fork/postern/.github/workflows/release.yaml@refs/tags/v1.2.3"},` +
				`"metadata":{"invocationId":"https://github.com/fork/postern/actions/runs/42/attempts/1"}}`},
		{"local", repository, `{"builder":{"id":"` + localBuilder + `"}}`},
	} {
		got := newTestRelease(t).provenance(func(name string) string {
			if c.name == "local" {
				return ""
			}
			return variables[name]
		})
		run, err := json.Marshal(got.RunDetails)
		if err != nil {
			t.Fatal(err)
		}
		if string(run) != c.run {
			t.Errorf("%s: got %s\nwant %s", c.name, run, c.run)
		}
		want := []dependency{{URI: "git+" + c.source, Digest: map[string]string{"gitCommit": "c0ffee"}}}
		if diff := cmp.Diff(want, got.BuildDefinition.ResolvedDependencies); diff != "" {
			t.Errorf("%s: unexpected dependencies (-want +got):\n%s", c.name, diff)
		}
	}
}
