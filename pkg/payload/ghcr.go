// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

var ghcr = Sender{
	Name: "ghcr.io", Requests: RequestsImages, Expects: "package.package_type",
	Signatures: []SignatureScheme{SignatureBody}, SecretFlag: true,
	family:  gitHubFamily,
	namedBy: hasHeader("X-GitHub-Event", "package", "registry_package"),
	shape:   anyOf(has("package", "package_type"), has("registry_package", "package_type")),
	decode:  decodeGHCR,
}

// gitHubPackage contains the used fields of GitHub's package event. Its name is "package" in webhooks of repositories
// and "registry_package" in webhooks of organizations and apps; the content is the same:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#package
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#registry_package
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
		// Version is the digest; in the registry before ghcr.io, it was the tag. Name usually equals it.
		Version    string `json:"version"`
		Name       string `json:"name"`
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

func decodeGHCR(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID("X-GitHub-Delivery"); err != nil {
		return err
	}
	switch name := m.header.Get("X-GitHub-Event"); {
	case name == "ping":
		out.ignore(IgnoredPing, "GitHub tests the webhook")
		return nil
	case name != "" && name != "package" && name != "registry_package":
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
	eventName, pkg := "package", p.Package
	if m.has("registry_package") {
		eventName, pkg = "registry_package", p.RegistryPackage
	}
	switch {
	case !strings.EqualFold(pkg.PackageType, "container") && !strings.EqualFold(pkg.PackageType, "docker"):
		if pkg.PackageType == "" {
			return missing(eventName+".package_type", "it says whether the package is an image")
		}
		out.ignore(IgnoredNotAnImage, "the package %s is of the type %s", quote(pkg.Name), quote(pkg.PackageType))
		return nil
	case p.Action == "":
		return missing("action", "it says what happened to the package")
	case p.Action != "published" && p.Action != "updated":
		out.ignore(IgnoredAction, "a package was %s; only published and updated count", quote(p.Action))
		return nil
	}
	image := pkg.image()
	if err := require(eventName+".package_version.package_url, or owner.login and name", image.Repository); err != nil {
		return err
	}
	image.Host, image.Repository, err = m.pullReference(registry{host: image.Host}, image.Repository)
	if err != nil {
		return err
	}
	container := pkg.PackageVersion.Container
	out.addImage(postern.DeliveryEvent{Event: eventName + "." + p.Action, Time: pkg.UpdatedAt.microTime()}, image,
		container.Manifest.MediaType, container.Manifest.Config.MediaType)
	return nil
}

// image returns the image in lower case, as registries require; GitHub names may have upper case. The URL ends with the
// tag, or with a colon and no tag.
func (p gitHubPackageData) image() postern.ImageReference {
	version := p.PackageVersion
	tag := version.Container.Tag
	image := postern.ImageReference{Tag: cmp.Or(tag.Name, version.Name, version.Version), Digest: tag.Digest}
	if naming.IsDigest(version.Version) {
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
