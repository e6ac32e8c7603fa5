// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	spdxjson "github.com/spdx/tools-golang/json"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"
)

func TestWriteSBOM_ListsWhatIsLinked(t *testing.T) {
	r := newTestRelease(t)
	own, err := os.ReadFile(os.Args[0]) // a program that knows its modules: this test
	if err != nil {
		t.Fatal(err)
	}
	platform := r.platforms[0]
	if err := os.WriteFile(r.program(platform), own, 0o600); err != nil {
		t.Fatal(err)
	}
	i := newTestImage(t, r)
	var written [2][]byte
	for n := range written {
		if err := r.writeSBOM(i, platform); err != nil {
			t.Fatal(err)
		}
		if written[n], err = os.ReadFile(r.sbom(platform)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(written[0], written[1]) {
		t.Error("two SBOMs of one program differ")
	}

	var document spdx.Document
	if err := spdxjson.ReadInto(bytes.NewReader(written[0]), &document); err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(&document); err != nil {
		t.Errorf("the document is not valid: %v", err)
	}
	sum, err := sha256File(r.program(platform))
	if err != nil {
		t.Fatal(err)
	}
	authorities, err := authoritiesVersion()
	if err != nil {
		t.Fatal(err)
	}
	digest := i.digests[platform.String()]
	type described struct{ packageURL, checksum string }
	want := map[string]described{
		"Image": {"pkg:oci/postern@sha256%3A" + digest.Hex +
			"?repository_url=registry.example.com%2Fteam%2Fpostern&arch=amd64&tag=v1.2.3", digest.Hex},
		"Program":     {"pkg:golang/postern.dev/postern/hack/release@v1.2.3", sum},
		"Authorities": {"pkg:golang/" + authoritiesModule + "@" + authorities, ""},
		"Go":          {"pkg:golang/stdlib@" + strings.TrimPrefix(runtime.Version(), "go"), ""},
	}
	got, modules := map[string]described{}, map[string]bool{}
	for _, p := range document.Packages {
		d := described{packageURL: p.PackageExternalReferences[0].Locator}
		if len(p.PackageChecksums) > 0 {
			d.checksum = p.PackageChecksums[0].Value
		}
		if id := string(p.PackageSPDXIdentifier); strings.HasPrefix(id, "Module-") {
			modules[d.packageURL] = true
		} else {
			got[id] = d
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(described{})); diff != "" {
		t.Errorf("unexpected packages (-want +got):\n%s", diff)
	}
	if module := "pkg:golang/github.com/spdx/tools-golang@v0.5.7"; !modules[module] {
		t.Errorf("%s is not among the modules %v", module, slices.Sorted(maps.Keys(modules)))
	}
}
