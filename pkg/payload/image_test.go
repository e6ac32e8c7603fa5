// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"
	"testing"
)

var (
	digestA = "sha256:" + strings.Repeat("4b1d9c0e", 8)
	digestB = "sha256:" + strings.Repeat("a07f3e52", 8)
)

func TestParseImageNamesImagesInFull(t *testing.T) {
	tests := []struct {
		ref  string
		want Image
	}{
		{"nginx", Image{Host: "docker.io", Repository: "library/nginx"}},
		{"nginx:1.27", Image{Host: "docker.io", Repository: "library/nginx", Tag: "1.27"}},
		{"example/shop:1.4.0", Image{Host: "docker.io", Repository: "example/shop", Tag: "1.4.0"}},
		{"docker.io/nginx", Image{Host: "docker.io", Repository: "library/nginx"}},
		{"index.docker.io/library/nginx:1.27", Image{Host: "docker.io", Repository: "library/nginx", Tag: "1.27"}},
		{"ghcr.io/example/shop:v1@" + digestA,
			Image{Host: "ghcr.io", Repository: "example/shop", Tag: "v1", Digest: digestA}},
		{"ghcr.io/example/shop@" + digestA, Image{Host: "ghcr.io", Repository: "example/shop", Digest: digestA}},
		{"Registry.Example.COM:5000/a/b/c:1", Image{Host: "registry.example.com:5000", Repository: "a/b/c", Tag: "1"}},
		{"localhost/shop:1", Image{Host: "localhost", Repository: "shop", Tag: "1"}},
		{"[::1]:5000/shop:1", Image{Host: "[::1]:5000", Repository: "shop", Tag: "1"}},
	}
	for _, tt := range tests {
		got, err := ParseImage(tt.ref)
		if err != nil || got != tt.want {
			t.Errorf("ParseImage(%q) = %+v, %v, want %+v", tt.ref, got, err, tt.want)
		}
		if again, err := NormalizeImage(got); err != nil || again != got {
			t.Errorf("NormalizeImage(%+v) = %+v, %v, want no change", got, again, err)
		}
		if again, err := ParseImage(got.String()); err != nil || again != got {
			t.Errorf("ParseImage(%q) = %+v, %v, want %+v", got.String(), again, err, got)
		}
	}
}

func TestParseImageRefusesWhatIsNoReference(t *testing.T) {
	for _, ref := range []string{
		"", ":", "/", "@", "nginx:", "nginx@", "Nginx", "ghcr.io/Example/shop", "ghcr.io//shop", "ghcr.io/shop/", "ghcr.io/shop:a b",
		"ghcr.io/shop:-1", "ghcr.io/shop@sha256:12",
		"ghcr.io/shop@md5:" + strings.Repeat("a", 32), "https://ghcr.io/shop:1",
		"jane:hunter2@ghcr.io/shop:1", "ghcr.io/shop:1\n", "ghcr.io/shop:1 ", "ghcr.io/sh\u00f6p:1", "gh\u0441r.io/shop:1", "\xff/shop",
		"ghcr.io/shop:" + strings.Repeat("a", 129), "ghcr.io/" + strings.Repeat("a", 256),
		strings.Repeat("a", 64), strings.Repeat("a/", 5000),
	} {
		if got, err := ParseImage(ref); errorReason(t, err) != ErrorInvalidImage || got != (Image{}) {
			t.Errorf("ParseImage(%.80q) = %+v, %v, want %s", ref, got, err, ErrorInvalidImage)
		}
	}
}

func TestNormalizeImageLetsNoPartReachIntoTheNext(t *testing.T) {
	const host, repository, tag = "ghcr.io", "example/shop", "1.4.0"
	tests := []struct {
		name string
		in   Image
		want Image // zero: refused
	}{
		{"whole", Image{host, repository, tag, digestA}, Image{host, repository, tag, digestA}},
		{"name alone", Image{host, repository, "", ""}, Image{host, repository, "", ""}},
		{"host in upper case", Image{"GHCR.io", repository, tag, ""}, Image{host, repository, tag, ""}},
		{"official image", Image{"docker.io", "nginx", tag, ""}, Image{"docker.io", "library/nginx", tag, ""}},
		{"old name of Docker Hub", Image{"index.docker.io", "nginx", tag, ""},
			Image{"docker.io", "library/nginx", tag, ""}},
		{"library of another registry", Image{host, "nginx", tag, ""}, Image{host, "nginx", tag, ""}},
		{"repository with a host's name", Image{"docker.io", "ghcr.io/shop", tag, ""},
			Image{"docker.io", "ghcr.io/shop", tag, ""}},

		{name: "no host", in: Image{"", repository, tag, ""}},
		{name: "no host, but one in the repository", in: Image{"", "ghcr.io/example/shop", tag, ""}},
		{name: "no repository", in: Image{host, "", tag, ""}},
		{name: "host without a dot is a directory at Docker Hub", in: Image{"harbor", repository, tag, ""}},
		{name: "host with a path", in: Image{"ghcr.io/evil", repository, tag, ""}},
		{name: "host with a slash at the end", in: Image{"ghcr.io/", repository, tag, ""}},
		{name: "host with a scheme", in: Image{"https://ghcr.io", repository, tag, ""}},
		{name: "host with a user", in: Image{"jane:hunter2@ghcr.io", repository, tag, ""}},
		{name: "host with a port that is none", in: Image{"ghcr.io:http", repository, tag, ""}},
		{name: "host with a newline", in: Image{"ghcr.io\n", repository, tag, ""}},
		{name: "host with a NUL", in: Image{"ghcr.io\x00", repository, tag, ""}},
		{name: "host that begins with a dash", in: Image{"-ghcr.io", repository, tag, ""}},
		{name: "host that is not ASCII", in: Image{"gh\u0441r.io", repository, tag, ""}},
		{name: "host with a query", in: Image{"ghcr.io?.", repository, tag, ""}},
		{name: "host that is too long", in: Image{strings.Repeat("a.", 130) + "io", repository, tag, ""}},
		{name: "repository with a tag", in: Image{host, "example/shop:2", "", ""}},
		{name: "repository with a tag and a tag", in: Image{host, "example/shop:2", tag, ""}},
		{name: "repository with a digest", in: Image{host, "example/shop@" + digestB, "", ""}},
		{name: "repository that goes up", in: Image{host, "example/../shop", tag, ""}},
		{name: "repository with a slash before", in: Image{host, "/example/shop", tag, ""}},
		{name: "tag with a digest", in: Image{host, repository, tag + "@" + digestB, ""}},
		{name: "tag with a colon", in: Image{host, repository, "1:2", ""}},
		{name: "tag that is a digest", in: Image{host, repository, digestA, ""}},
		{name: "digest with another", in: Image{host, repository, tag, digestA + "@" + digestB}},
		{name: "digest in upper case", in: Image{host, repository, tag, strings.ToUpper(digestA)}},
		{name: "digest of an unknown algorithm", in: Image{host, repository, tag, "sha3:" + digestA[7:]}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := NormalizeImage(tt.in)
			if got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
			reason := ""
			if tt.want == (Image{}) {
				reason = ErrorInvalidImage
			}
			if errorReason(t, err) != reason {
				t.Errorf("error = %v, want the reason %q", err, reason)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats the password: %v", err)
			}
		})
	}
}

func TestAttachmentsOfImagesAreToldByTheirTag(t *testing.T) {
	base := strings.Replace(digestA, ":", "-", 1)
	for tag, want := range map[string]bool{
		base:                        true,
		base + ".sig":               true,
		base + ".att":               true,
		base + ".sbom":              true,
		base[:len(base)-1]:          false,
		strings.ToUpper(base):       false,
		"sha256-" + digestA:         false,
		"v1-" + base:                false,
		"1.4.0":                     false,
		"":                          false,
		strings.Repeat("4b1d", 16):  false,
		"sha256-1.4.0":              false,
		"sha512-" + base[7:] + "ab": false,
	} {
		if got := isAttachmentTag(tag); got != want {
			t.Errorf("isAttachmentTag(%q) = %t, want %t", tag, got, want)
		}
	}
}

func FuzzNormalizeImage(f *testing.F) {
	f.Add("ghcr.io", "example/shop", "1.4.0", digestA)
	f.Add("docker.io", "nginx", "", "")
	f.Add("[::1]:5000", "a", "_", "sha512:"+strings.Repeat("0", 128))
	f.Add("harbor/", "a@b", "1:2", "sha256:")
	f.Fuzz(func(t *testing.T, host, repository, tag, digest string) {
		in := Image{host, repository, tag, digest}
		got, err := NormalizeImage(in)
		if err != nil {
			checkError(t, err)
			return
		}
		if got.Tag != tag || got.Digest != digest {
			t.Fatalf("%+v became %+v", in, got)
		}
		if !strings.EqualFold(got.Host, host) && !strings.EqualFold(host, "index.docker.io") {
			t.Fatalf("the host of %+v became %q", in, got.Host)
		}
		if got.Repository != repository && got.Repository != "library/"+repository {
			t.Fatalf("the repository of %+v became %q", in, got.Repository)
		}
		if again, err := NormalizeImage(got); err != nil || again != got {
			t.Fatalf("%+v became %+v, %v when normalized again", got, again, err)
		}
		if parsed, err := ParseImage(got.String()); err != nil || parsed != got {
			t.Fatalf("%s is read as %+v, %v", got, parsed, err)
		}
	})
}
