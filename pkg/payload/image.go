// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// imageMediaTypes are the media types of manifests, indexes and configurations of runnable images. Everything else in a
// registry is a layer, a chart, a signature or another artifact:
// https://github.com/opencontainers/image-spec/blob/main/media-types.md
// https://distribution.github.io/distribution/spec/manifest-v2-2/
var imageMediaTypes = []string{
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.config.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.v1+prettyjws",
	"application/vnd.docker.distribution.manifest.v1+json",
	"application/vnd.docker.container.image.v1+json",
}

// chartMediaType is the prefix of the media types in the manifest of a Helm chart:
// https://helm.sh/docs/topics/registries/
const chartMediaType = "application/vnd.cncf.helm."

// addImage adds the event of a pushed image with its parts as in the payload; Decode validates them. The media types
// are the known types of the manifest and its configuration; most senders omit them. Images that cannot be deployed by
// tag are ignored. A chart is added as the tag of its repository.
func (d *Decoded) addImage(e postern.DeliveryEvent, image postern.ImageReference, mediaTypes ...string) {
	if image.Tag == image.Digest || naming.IsDigest(image.Tag) {
		image.Tag, image.Digest = "", cmp.Or(image.Digest, image.Tag)
	}
	artifact := slices.IndexFunc(mediaTypes, func(t string) bool {
		return t != "" && !slices.Contains(imageMediaTypes, t)
	})
	switch {
	case artifact >= 0 && strings.HasPrefix(mediaTypes[artifact], chartMediaType) && image.Tag != "":
		d.addChart(e, image)
		return
	case artifact >= 0:
		d.ignore(IgnoredNotAnImage, "%s is not an image: its media type is %s",
			quote(image.Repository), quote(mediaTypes[artifact]))
		return
	case image.Tag == "" && image.Digest != "":
		d.ignore(IgnoredDigestOnly, "%s was pushed without a tag", quote(image.Repository))
		return
	case isAttachmentTag(image.Tag):
		d.ignore(IgnoredNotAnImage, "%s at %s is a signature or another attachment of an image",
			quote(image.Tag), quote(image.Repository))
		return
	}
	if image.Digest != "" && !naming.IsDigest(image.Digest) {
		d.ignore(IgnoredDigest, "the digest %s of %s is not valid; the tag counts without it",
			quote(image.Digest), quote(image.Repository))
		image.Digest = ""
	}
	e.Image = &image
	d.add(e)
}

// addChart adds the event of a pushed Helm chart: its version, as the tag of the repository that Argo CD reads it from.
// Helm stores a version with an underscore for the plus sign, which tags cannot have.
func (d *Decoded) addChart(e postern.DeliveryEvent, chart postern.ImageReference) {
	normal, err := naming.NormalizeImage(postern.ImageReference{
		Host: chart.Host, Repository: chart.Repository, Tag: chart.Tag,
	})
	if err != nil {
		d.ignore(IgnoredNotAnImage, "%s is a chart: %v", quote(chart.Repository), err)
		return
	}
	e.Ref, e.RefType = strings.ReplaceAll(normal.Tag, "_", "+"), postern.RefTypeTag
	e.Repository = naming.OCIScheme + normal.Name()
	d.add(e)
}

// attachmentTag matches the tags under which clients store attachments of an image: a digest with a dash instead of the
// colon. Each push of a signed image is followed by a push of such a tag.
//
//	sha256-<hex>        https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
//	                    which truncates the digits of other algorithms to 64
//	sha256-<hex>.sig    https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
//	                    also .att and .sbom, and with a prefix (--attachment-tag-prefix)
var attachmentTag = regexp.MustCompile("^" + dashedDigest + "([.].*)?$|" + dashedDigest + "[.][a-z]+$")

const dashedDigest = "sha(?:256|384|512)-(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})"

func isAttachmentTag(tag string) bool { return attachmentTag.MatchString(tag) }

// fullName returns the full name of a repository, or the one that its parts make.
func fullName(full, namespace, name string) string {
	if full != "" || name == "" {
		return full
	}
	return strings.TrimPrefix(namespace+"/"+name, "/")
}

// splitAddress returns the host, with its port, and the path of a URL or of a reference without a scheme. It does not
// validate them.
func splitAddress(address string) (host, path string) {
	if _, rest, found := strings.Cut(address, "://"); found {
		address = rest
	}
	host, path, _ = strings.Cut(address, "/")
	return host, strings.Trim(path, "/")
}

// registry identifies the registry of a payload.
type registry struct {
	// repository is the payload's name for a part of the registry that may have its own address, or "".
	repository string
	// host is the host of the registry in the payload, or "".
	host string
}

// address returns the host and path prefix from which clusters pull the registry's images, for senders that do not
// reliably report it. The webhook's URL takes precedence over the configured address, and that over the payload. given
// reports whether the operator gave the address.
//
// A signature covers only the body. If only a signature authenticates the sender, the URL is untrusted: a registry_url
// is then refused unless an address is configured.
func (m message) address(r registry) (host, path string, given bool, err error) {
	configured := m.configuredAddress(r)
	switch {
	case m.registryURL == "" && configured == "":
		return r.host, "", false, nil
	case m.registryURL != "" && !m.signed:
		host, path = splitAddress(m.registryURL)
		if !m.addressCache.isRegistryAddress(host, path) {
			return "", "", false, errRegistryURL()
		}
	case configured != "":
		host, path = splitAddress(configured)
		if !m.addressCache.isRegistryAddress(host, path) {
			return "", "", false, errConfiguredAddress(m.source)
		}
	default:
		return "", "", false, errRegistryURLNotSigned(m.source)
	}
	return host, path, true, nil
}

// pullReference returns the host and repository from which clusters pull an image.
func (m message) pullReference(r registry, repository string) (pullHost, pullRepository string, err error) {
	host, path, _, err := m.address(r)
	if path != "" {
		repository = path + "/" + repository
	}
	return host, repository, err
}

// configuredAddress returns the configured address of the repository, otherwise of the whole registry, or "".
func (m message) configuredAddress(r registry) (address string) {
	if m.registryURLs == nil {
		return ""
	}
	for line := range strings.Lines(m.registryURLs(m.source)) {
		name, repositoryAddress, isNamed := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case !isNamed:
			if address == "" {
				address = name
			}
		case r.repository != "" && strings.TrimSpace(name) == r.repository:
			return strings.TrimSpace(repositoryAddress)
		}
	}
	return address
}

// addressCache caches the last result of isRegistryAddress: a body may name hundreds of images at the same address.
type addressCache struct {
	host, path string
	known, ok  bool
}

// isRegistryAddress is a cached naming.IsRegistryAddress. The receiver may be nil.
func (c *addressCache) isRegistryAddress(host, path string) bool {
	if c == nil {
		return naming.IsRegistryAddress(host, path)
	}
	if !c.known || c.host != host || c.path != path {
		*c = addressCache{host, path, true, naming.IsRegistryAddress(host, path)}
	}
	return c.ok
}

// errRegistryURL does not repeat the value: it contains the secret if the sender wrote "?" instead of "&" before it.
func errRegistryURL() error {
	return refuse(ErrorInvalidImage,
		"registry_url in the URL is not valid: it must be a host name with a dot or a port, or localhost, "+
			"and may have a path in lower case, as in &registry_url=registry.example.com/team; "+
			"the next parameter begins with &, as in &secret=, not with ?")
}

// errConfiguredAddress does not repeat the value, because it is stored with secrets.
func errConfiguredAddress(source string) error {
	return refuse(ErrorInvalidImage, "the address under %s, next to the webhook secrets, is not valid: "+
		"it must be a host name with a dot or a port, or localhost, and may have a path in lower case",
		RegistryURLKey(source))
}

func errRegistryURLNotSigned(source string) error {
	return refuse(ErrorInvalidField,
		"registry_url in the URL is not accepted, because the signature does not cover it: "+
			"give the address under the key %s, next to the webhook secret", RegistryURLKey(source))
}
