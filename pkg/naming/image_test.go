// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
)

var (
	digestA = "sha256:" + strings.Repeat("4b1d9c0e", 8)
	digestB = "sha256:" + strings.Repeat("a07f3e52", 8)
)

func image(host, repository, tag, digest string) postern.ImageReference {
	return postern.ImageReference{Host: host, Repository: repository, Tag: tag, Digest: digest}
}

func TestParseImage_FullName(t *testing.T) {
	tests := []struct {
		ref  string
		want postern.ImageReference
	}{
		{"nginx", image("docker.io", "library/nginx", "", "")},
		{"nginx:1.27", image("docker.io", "library/nginx", "1.27", "")},
		{"example/shop:1.4.0", image("docker.io", "example/shop", "1.4.0", "")},
		{"docker.io/nginx", image("docker.io", "library/nginx", "", "")},
		{"index.docker.io/library/nginx:1.27", image("docker.io", "library/nginx", "1.27", "")},
		{"ghcr.io/example/shop:v1@" + digestA,
			image("ghcr.io", "example/shop", "v1", digestA)},
		{"ghcr.io/example/shop@" + digestA, image("ghcr.io", "example/shop", "", digestA)},
		{"Registry.Example.COM:5000/a/b/c:1", image("registry.example.com:5000", "a/b/c", "1", "")},
		{"localhost/shop:1", image("localhost", "shop", "1", "")},
		{"[::1]:5000/shop:1", image("[::1]:5000", "shop", "1", "")},
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

func TestParseImage_RefusesInvalidReference(t *testing.T) {
	for _, ref := range []string{
		"", ":", "/", "@", "nginx:", "nginx@", "Nginx", "ghcr.io/Example/shop", "ghcr.io//shop", "ghcr.io/shop/",
		"ghcr.io/shop:a b",
		"ghcr.io/shop:-1", "ghcr.io/shop@sha256:12",
		"ghcr.io/shop@md5:" + strings.Repeat("a", 32), "https://ghcr.io/shop:1",
		"jane:hunter2@ghcr.io/shop:1", "ghcr.io/shop:1\n", "ghcr.io/shop:1 ", "ghcr.io/sh\u00f6p:1",
		"gh\u0441r.io/shop:1", "\xff/shop",
		"ghcr.io/shop:" + strings.Repeat("a", 129), "ghcr.io/" + strings.Repeat("a", 256),
		strings.Repeat("a", 64), strings.Repeat("a/", 5000),
	} {
		if got, err := ParseImage(ref); err == nil || got != (postern.ImageReference{}) {
			t.Errorf("ParseImage(%.80q) = %+v, %v, want an error", ref, got, err)
		}
	}
}

func TestNormalizeImage_PartsDoNotOverlap(t *testing.T) {
	const host, repository, tag = "ghcr.io", "example/shop", "1.4.0"
	tests := []struct {
		name string
		in   postern.ImageReference
		want postern.ImageReference // zero: refused
	}{
		{"whole", image(host, repository, tag, digestA), image(host, repository, tag, digestA)},
		{"name alone", image(host, repository, "", ""), image(host, repository, "", "")},
		{"host in upper case", image("GHCR.io", repository, tag, ""), image(host, repository, tag, "")},
		{"official image", image("docker.io", "nginx", tag, ""), image("docker.io", "library/nginx", tag, "")},
		{"old name of Docker Hub", image("index.docker.io", "nginx", tag, ""),
			image("docker.io", "library/nginx", tag, "")},
		{"library of another registry", image(host, "nginx", tag, ""), image(host, "nginx", tag, "")},
		{"repository with a host's name", image("docker.io", "ghcr.io/shop", tag, ""),
			image("docker.io", "ghcr.io/shop", tag, "")},

		{name: "no host", in: image("", repository, tag, "")},
		{name: "no host, but one in the repository", in: image("", "ghcr.io/example/shop", tag, "")},
		{name: "no repository", in: image(host, "", tag, "")},
		{name: "host without a dot is a directory at Docker Hub", in: image("harbor", repository, tag, "")},
		{name: "host with a path", in: image("ghcr.io/evil", repository, tag, "")},
		{name: "host with a slash at the end", in: image("ghcr.io/", repository, tag, "")},
		{name: "host with a scheme", in: image("https://ghcr.io", repository, tag, "")},
		{name: "host with a user", in: image("jane:hunter2@ghcr.io", repository, tag, "")},
		{name: "host with a port that is none", in: image("ghcr.io:http", repository, tag, "")},
		{name: "host with a newline", in: image("ghcr.io\n", repository, tag, "")},
		{name: "host with a NUL", in: image("ghcr.io\x00", repository, tag, "")},
		{name: "host that begins with a dash", in: image("-ghcr.io", repository, tag, "")},
		{name: "host that is not ASCII", in: image("gh\u0441r.io", repository, tag, "")},
		{name: "host with a query", in: image("ghcr.io?.", repository, tag, "")},
		{name: "host that is too long", in: image(strings.Repeat("a.", 130)+"io", repository, tag, "")},
		{name: "repository with a tag", in: image(host, "example/shop:2", "", "")},
		{name: "repository with a tag and a tag", in: image(host, "example/shop:2", tag, "")},
		{name: "repository with a digest", in: image(host, "example/shop@"+digestB, "", "")},
		{name: "repository that goes up", in: image(host, "example/../shop", tag, "")},
		{name: "repository with a slash before", in: image(host, "/example/shop", tag, "")},
		{name: "tag with a digest", in: image(host, repository, tag+"@"+digestB, "")},
		{name: "tag with a colon", in: image(host, repository, "1:2", "")},
		{name: "tag that is a digest", in: image(host, repository, digestA, "")},
		{name: "digest with another", in: image(host, repository, tag, digestA+"@"+digestB)},
		{name: "digest in upper case", in: image(host, repository, tag, strings.ToUpper(digestA))},
		{name: "digest of an unknown algorithm", in: image(host, repository, tag, "sha3:"+digestA[7:])},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := NormalizeImage(tt.in)
			if got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
			if refused := tt.want == (postern.ImageReference{}); refused != (err != nil) {
				t.Errorf("error = %v, want one: %t", err, refused)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats the password: %v", err)
			}
		})
	}
}

func FuzzNormalizeImage(f *testing.F) {
	f.Add("ghcr.io", "example/shop", "1.4.0", digestA)
	f.Add("docker.io", "nginx", "", "")
	f.Add("[::1]:5000", "a", "_", "sha512:"+strings.Repeat("0", 128))
	f.Add("harbor/", "a@b", "1:2", "sha256:")
	f.Fuzz(func(t *testing.T, host, repository, tag, digest string) {
		in := image(host, repository, tag, digest)
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

func TestDigest_Valid(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 8)
	for digest, want := range map[string]bool{
		"sha256:" + hex[:64]: true, "sha384:" + hex[:96]: true, "sha512:" + hex: true,
		"sha256:" + hex[:63]: false, "sha256:" + hex[:65]: false,
		"md5:" + hex[:32]: false, "sha256": false, ":": false, "": false,
		"sha256:" + strings.ToUpper(hex[:64]): false, "sha256:" + hex[:64] + "@": false, "sha-256:" + hex[:64]: false,
	} {
		i, err := ParseImage("a@" + digest)
		if asRead := err == nil && i.Digest == digest; asRead != want {
			t.Errorf("%q is parsed as a digest: %t", digest, asRead)
		}
		if got := IsDigest(digest); got != want {
			t.Errorf("IsDigest(%q) = %t, want %t", digest, got, want)
		}
	}
}
