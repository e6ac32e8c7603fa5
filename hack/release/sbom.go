// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// noAssertion is SPDX's value for what is not stated.
const noAssertion = "NOASSERTION"

// sbom returns the path of the SBOM of a platform's program and image.
func (r *release) sbom(platform v1.Platform) string { return r.program(platform) + ".spdx.json" }

// writeSBOM writes the SBOM of a platform's program and image.
func (r *release) writeSBOM(image *image, platform v1.Platform) error {
	sum, err := sha256File(r.program(platform))
	if err != nil {
		return err
	}
	authorities, err := authoritiesVersion()
	if err != nil {
		return err
	}
	name := filepath.Base(r.program(platform))
	d := newDocument(name, "https://postern.dev/spdx/"+name+"-"+r.version+"-"+sum, r.date)

	digest := image.digests[platform.String()]
	d.add("DOCUMENT", common.TypeRelationshipDescribe, &spdx.Package{
		PackageSPDXIdentifier: "Image", PackageName: image.tag.Context().Name(), PackageVersion: r.version,
		PrimaryPackagePurpose: "CONTAINER",
		PackageChecksums:      []common.Checksum{{Algorithm: common.SHA256, Value: digest.Hex}},
	}, fmt.Sprintf("pkg:oci/postern@%s?repository_url=%s&arch=%s&tag=%s", url.QueryEscape(digest.String()),
		url.QueryEscape(image.tag.Context().Name()), platform.Architecture, r.version))
	d.relate("Image", common.TypeRelationshipContains, "Program")
	d.add("Image", common.TypeRelationshipContains, &spdx.Package{
		PackageSPDXIdentifier: "Authorities", PackageName: authoritiesModule, PackageVersion: authorities,
	}, golang(authoritiesModule, authorities))
	if err := d.addProgram(r.program(platform), name, r.version, sum); err != nil {
		return err
	}
	return d.write(r.sbom(platform))
}

// writePluginSBOM writes the SBOM of a platform's plugin of kubectl.
func (r *release) writePluginSBOM(program string, platform v1.Platform) error {
	sum, err := sha256File(program)
	if err != nil {
		return err
	}
	name := r.pluginProgram(platform)
	d := newDocument(name, "https://postern.dev/spdx/"+name+"-"+r.version+"-"+sum, r.date)
	if err := d.addProgram(program, executable(platform), r.version, sum); err != nil {
		return err
	}
	return d.write(filepath.Join(r.dir, name+".spdx.json"))
}

// addProgram adds a program, and the modules that the Go linker has recorded in it.
func (d *document) addProgram(path, name, version, sum string) error {
	build, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	d.add("DOCUMENT", common.TypeRelationshipDescribe, &spdx.Package{
		PackageSPDXIdentifier: "Program", PackageName: build.Main.Path, PackageVersion: version,
		PackageFileName: name, PackageLicenseDeclared: "Apache-2.0", PrimaryPackagePurpose: "APPLICATION",
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: sum}},
	}, golang(build.Main.Path, version))
	goVersion := strings.TrimPrefix(build.GoVersion, "go")
	d.add("Program", common.TypeRelationshipDependsOn, &spdx.Package{
		PackageSPDXIdentifier: "Go", PackageName: "stdlib", PackageVersion: goVersion,
	}, golang("stdlib", goVersion))
	for i, module := range build.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		d.add("Program", common.TypeRelationshipDependsOn, &spdx.Package{
			PackageSPDXIdentifier: common.ElementID(fmt.Sprintf("Module-%d", i+1)),
			PackageName:           module.Path, PackageVersion: module.Version,
			PackageSourceInfo: "go.sum: " + module.Sum, // of all its files: no checksum that SPDX knows
		}, golang(module.Path, module.Version))
	}
	return nil
}

// authoritiesVersion returns the version of the certificates in the image, which are linked into this program.
func authoritiesVersion() (string, error) {
	if own, ok := debug.ReadBuildInfo(); ok {
		for _, module := range own.Deps {
			if module.Path == authoritiesModule {
				return module.Version, nil
			}
		}
	}
	return "", fmt.Errorf("this program does not know its version of %s", authoritiesModule)
}

// golang returns the package URL of a module.
func golang(path, version string) string { return "pkg:golang/" + path + "@" + version }

// document is an SPDX document.
type document spdx.Document

func newDocument(name, namespace string, date time.Time) *document {
	return &document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: name, DocumentNamespace: namespace,
		CreationInfo: &spdx.CreationInfo{
			Created: date.Format(time.RFC3339),
			Creators: []common.Creator{
				{CreatorType: "Organization", Creator: "The Postern Authors"},
				{CreatorType: "Tool", Creator: "postern.dev/postern/hack/release"},
			},
		},
	}
}

// add adds a package with its package URL, and a relation of another element to it.
func (d *document) add(from common.ElementID, relation string, p *spdx.Package, packageURL string) {
	p.PackageDownloadLocation = noAssertion
	p.PackageExternalReferences = []*spdx.PackageExternalReference{{
		Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: packageURL,
	}}
	d.Packages = append(d.Packages, p)
	d.relate(from, relation, p.PackageSPDXIdentifier)
}

func (d *document) relate(from common.ElementID, relation string, to common.ElementID) {
	d.Relationships = append(d.Relationships, &spdx.Relationship{
		RefA:         common.DocElementID{ElementRefID: from},
		Relationship: relation,
		RefB:         common.DocElementID{ElementRefID: to},
	})
}

func (d *document) write(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := spdxjson.Write((*spdx.Document)(d), file, spdxjson.Indent(" ")); err != nil {
		return err
	}
	return file.Close()
}
