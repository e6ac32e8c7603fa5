// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"net/http"
	"strings"
)

const (
	sourceGHCR   = "ghcr.io"
	sourceGitHub = "github"
)

// gitHubPackage is the part that is read of GitHub's event about a package, which has one of two names: "package" in
// webhooks of repositories, "registry_package" in those of organizations and apps. Both have the same content:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#package
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#registry_package
//
// GitHub signs: X-Hub-Signature-256. It can set no header of one's own, so its callers have no Kubernetes identity.
type gitHubPackage struct {
	Action          string            `json:"action"`
	Package         gitHubPackageData `json:"package"`
	RegistryPackage gitHubPackageData `json:"registry_package"`
}

type gitHubPackageData struct {
	Name  string `json:"name"`
	Owner struct {
		Login string `json:"login"`
	} `json:"owner"`
	PackageType    string    `json:"package_type"`
	UpdatedAt      timestamp `json:"updated_at"`
	PackageVersion struct {
		// Version is the digest; the tag in the registry that came before ghcr.io.
		Version    string `json:"version"`
		PackageURL string `json:"package_url"`
		Container  struct {
			Tag struct {
				Name   string `json:"name"`
				Digest string `json:"digest"`
			} `json:"tag"`
			Manifest struct {
				MediaType string `json:"media_type"`
				Config    struct {
					MediaType string `json:"media_type"`
				} `json:"config"`
			} `json:"manifest"`
		} `json:"container_metadata"`
	} `json:"package_version"`
}

// isGitHubSource reports whether the sender's events come through GitHub's webhooks. Either of them may be claimed for whatever
// GitHub sends, and ignores what is the other's: one webhook may be set up for more events than its door is for.
func isGitHubSource(source string) bool {
	return source == sourceGHCR || source == sourceGitHub
}

func sentByGHCR(h http.Header) bool {
	event := h.Get("X-GitHub-Event")
	return event == "package" || event == "registry_package"
}

func fitsGHCR(m message) bool {
	return m.has("package", "package_type") || m.has("registry_package", "package_type")
}

func decodeGHCR(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID("X-GitHub-Delivery"); err != nil {
		return err
	}
	switch name := m.header.Get("X-GitHub-Event"); {
	case name == "ping":
		out.ignore(IgnoredPing, "GitHub tests the webhook")
		return nil
	case name != "" && !sentByGHCR(m.header):
		out.ignore(IgnoredEvent, "the event %s asks for no image; send packages", quote(name))
		return nil
	}
	return decodeGitHubPackage(m, out)
}

func decodeGitHubPackage(m message, out *Decoded) error {
	p, err := decodeAs[gitHubPackage](m)
	if err != nil {
		return err
	}
	event, pkg := "package", p.Package
	if m.has("registry_package") {
		event, pkg = "registry_package", p.RegistryPackage
	}
	switch {
	case !strings.EqualFold(pkg.PackageType, "container") && !strings.EqualFold(pkg.PackageType, "docker"):
		if pkg.PackageType == "" {
			return missing(event+".package_type", "it says whether the package is an image")
		}
		out.ignore(IgnoredNotAnImage, "the package %s is of the type %s", quote(pkg.Name), quote(pkg.PackageType))
		return nil
	case p.Action == "":
		return missing("action", "it says what became of the package")
	case p.Action != "published" && p.Action != "updated":
		out.ignore(IgnoredAction, "a package was %s; only published and updated count", quote(p.Action))
		return nil
	}
	image := pkg.image()
	if err := require(event+".package_version.package_url, or owner.login and name", image.Repository); err != nil {
		return err
	}
	container := pkg.PackageVersion.Container
	out.addImage(Event{Type: event + "." + p.Action, Time: pkg.UpdatedAt.time}, image,
		container.Manifest.MediaType, container.Manifest.Config.MediaType)
	return nil
}

// image returns the image in lower case, because names in registries are, whatever case GitHub's are in. The URL ends
// with the tag, or with a colon and nothing.
func (p gitHubPackageData) image() Image {
	version := p.PackageVersion
	image := Image{Tag: cmp.Or(version.Container.Tag.Name, version.Version), Digest: version.Container.Tag.Digest}
	if isDigest(version.Version) {
		image.Digest = version.Version
	}
	url := version.PackageURL
	if colon := strings.LastIndexByte(url, ':'); colon > strings.LastIndexByte(url, '/') {
		url = url[:colon]
	}
	image.Host, image.Repository = splitAddress(strings.ToLower(url))
	if image.Repository == "" && p.Owner.Login != "" && p.Name != "" {
		image.Host, image.Repository = "ghcr.io", strings.ToLower(p.Owner.Login+"/"+p.Name)
	}
	return image
}
