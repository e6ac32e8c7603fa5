// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package sdks

import (
	"encoding/json"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	packageurl "github.com/package-url/packageurl-go"

	"postern.dev/postern/pkg/payload"
)

// imageOf returns the image that a published artifact requests; "" if it requests none.
func imageOf(t *testing.T, purl string) string {
	t.Helper()
	const eventType = "dev.cdevents.artifact.published.0.3.0"
	ce := cloudevents.NewEvent()
	ce.SetID("1")
	ce.SetSource("/ci")
	ce.SetType(eventType)
	if err := ce.SetData(cloudevents.ApplicationJSON, map[string]any{
		"context": map[string]any{"type": eventType}, "subject": map[string]any{"id": purl},
	}); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(ce)
	if err != nil {
		t.Fatal(err)
	}
	got, err := payload.Decode(payload.Input{Body: body})
	if err != nil || len(got.Events) == 0 {
		return ""
	}
	return got.Events[0].Image.String()
}

// Postern reads a package URL as the library of the purl project does.
func TestPackageURL_LikeTheLibrary(t *testing.T) {
	const registry = "?repository_url=registry.example.com"
	encoded := strings.Replace(digest, ":", "%3A", 1)
	for _, purl := range []string{
		"pkg:docker/team/shop@1.4.0" + registry, "pkg:docker/shop@1.4.0" + registry,
		"PKG:DOCKER/team/shop@1.4.0" + registry, "pkg://docker/team/shop@1.4.0" + registry,
		"pkg:docker/te%61m/shop@1.4.0" + registry,
		"pkg:docker/team/shop@1%2E4.0" + registry,
		"pkg:docker/team/shop@1.4.0?arch=amd64&Repository_URL=registry.example.com",
		"pkg:docker/team/shop@1.4.0" + registry + "#sub/path", "pkg:docker/a/b/c/d@v1" + registry + "%2Fgroup",
		"pkg:docker/team/shop@1.4.0" + registry + "&", "pkg:docker/team/shop@1_4-0.x" + registry,
		"pkg:oci/shop@" + encoded + registry + "/team/shop&tag=1.4.0&arch=arm64",
		"pkg:oci/shop" + registry + "%2Fshop&tag=v1",
		"pkg:oci/shop@" + digest + registry + "/shop&TAG=1.4.0",
	} {
		p, err := packageurl.FromString(purl)
		if err != nil {
			t.Fatal(err)
		}
		qualifiers := p.Qualifiers.Map()
		want := qualifiers["repository_url"]
		if p.Type == "docker" {
			want += "/" + strings.TrimPrefix(p.Namespace+"/"+p.Name, "/") + ":" + p.Version
		} else {
			want += ":" + qualifiers["tag"] + strings.TrimSuffix("@"+p.Version, "@")
		}
		if got := imageOf(t, purl); got != want {
			t.Errorf("%s is %q, want %q", purl, got, want)
		}
	}
	for _, purl := range []string{
		"pkg:docker/", "pkg:docker", "pkg:docker/%zz@1", "pkg:docker/shop@%zz",
		"pkg:oci/shop" + registry + "/shop&tag=%zz", "docker/shop@1",
	} {
		if _, err := packageurl.FromString(purl); err == nil {
			t.Errorf("the library accepts %s", purl)
		}
		if got := imageOf(t, purl); got != "" {
			t.Errorf("%s is %q", purl, got)
		}
	}
}
