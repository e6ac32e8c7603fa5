// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

// The examples of the types oci and docker in the specification, with what they mean:
// https://github.com/package-url/purl-spec/tree/main/types-doc
func TestPackageURL_Specification(t *testing.T) {
	const digest = "sha256:244fd47e07d1004f0aed9c156aa09083c82bf8944eceb67c946ff7430510a77b"
	encoded := strings.Replace(digest, ":", "%3A", 1)
	for purl, want := range map[string]postern.ImageReference{
		"pkg:oci/debian@" + encoded + "?repository_url=docker.io/library/debian&arch=amd64&tag=latest": {
			Host: "docker.io", Repository: "library/debian", Tag: "latest", Digest: digest},
		"pkg:oci/debian@" + encoded + "?repository_url=ghcr.io/debian&tag=bullseye": {
			Host: "ghcr.io", Repository: "debian", Tag: "bullseye", Digest: digest},
		"pkg:oci/static@" + encoded + "?repository_url=gcr.io/distroless/static&tag=latest": {
			Host: "gcr.io", Repository: "distroless/static", Tag: "latest", Digest: digest},
		"pkg:oci/hello-wasm@" + encoded + "?tag=v1": {Repository: "hello-wasm", Tag: "v1", Digest: digest},
		"pkg:docker/cassandra@latest":               {Host: "docker.io", Repository: "cassandra", Tag: "latest"},
		"pkg:docker/smartentry/debian@dc437cc87d10": {
			Host: "docker.io", Repository: "smartentry/debian", Tag: "dc437cc87d10"},
		"pkg:docker/customer/dockerimage@" + encoded + "?repository_url=gcr.io": {
			Host: "gcr.io", Repository: "customer/dockerimage", Tag: digest},
		"PKG:OCI/debian?repository_url=ghcr.io/debian&tag=1": {Host: "ghcr.io", Repository: "debian", Tag: "1"},
	} {
		got, err := parseImagePackage(purl)
		if diff := cmp.Diff(want, got); diff != "" || err != nil || !isImagePackage(purl) {
			t.Errorf("%s: error %v (-want +got):\n%s", purl, err, diff)
		}
	}
	for _, purl := range []string{"", "oci/debian", "pkg:golang/oci/x@1", "pkg:ocix/a@1", "pkg:", "https://pkg:oci/a"} {
		if isImagePackage(purl) {
			t.Errorf("%q is taken for an image", purl)
		}
	}
}

// A batch of package URLs is decoded within the limit for its size, with what costs a parser most.
func TestPackageURL_Cost(t *testing.T) {
	if raceDetector {
		t.Skip("the standard library allocates more with the race detector")
	}
	var qualifiers, segments strings.Builder
	for i := 0; qualifiers.Len() < maxPackageURLBytes-100; i++ {
		fmt.Fprintf(&qualifiers, "&%c%c=", 'a'+i/26%26, 'a'+i%26)
	}
	segments.WriteString(strings.Repeat("a/", maxPackageURLBytes/2-50))
	for name, purl := range map[string]string{
		"qualifiers": "pkg:oci/shop?repository_url=r.example.com/shop&tag=1" + qualifiers.String()[:3000],
		"segments":   "pkg:docker/" + segments.String() + "shop@1?repository_url=r.example.com",
		"escapes":    "pkg:docker/" + strings.Repeat("%41", 1300) + "/shop@1?repository_url=r.example.com",
		"subpath":    "pkg:docker/shop@1?repository_url=r.example.com#" + segments.String(),
		"shortest":   "pkg:oci/a?tag=1",
		"colons":     "pkg:docker/shop@1?repository_url=" + strings.Repeat("&tag=", 500),
	} {
		const published = "dev.cdevents.artifact.published.0.3.0"
		item := fmt.Sprintf(`{"specversion":"1.0","id":"1","type":%q,"data":{"context":{"type":%[1]q},`+
			`"subject":{"id":%q}}}`, published, purl)
		body := append(append([]byte("["), bytes.Repeat([]byte(item+","), maxListItems-1)...), item+"]"...)
		in := Input{Header: http.Header{"Content-Type": {cloudEventsBatchMediaType}}, Body: body}
		most := MaxDecodeCost(int64(len(body)))
		if got := allocated(in, most); got > most {
			t.Errorf("%s: decoding %d bytes allocates %d bytes, more than %d", name, len(body), got, most)
		}
	}
}
