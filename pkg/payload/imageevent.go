// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
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

// isImageMediaType reports whether the type belongs to an image. It is true for an empty type, because most senders
// omit the type.
func isImageMediaType(mediaType string) bool {
	return mediaType == "" || slices.Contains(imageMediaTypes, mediaType)
}

// addImage adds the event of a pushed image with its parts as in the payload; Decode validates them. The media types
// are the known types of the manifest and its configuration. Images that cannot be deployed by tag are ignored.
func (d *Decoded) addImage(e postern.DeliveryEvent, image postern.ImageReference, mediaTypes ...string) {
	if image.Tag == image.Digest || naming.IsDigest(image.Tag) {
		image.Tag, image.Digest = "", cmp.Or(image.Digest, image.Tag)
	}
	artifact := slices.IndexFunc(mediaTypes, func(t string) bool { return !isImageMediaType(t) })
	switch {
	case artifact >= 0:
		d.ignore(IgnoredNotAnImage, "%s is not an image: its media type is %s",
			quote(image.Repository), quote(mediaTypes[artifact]))
	case image.Tag == "" && image.Digest != "":
		d.ignore(IgnoredDigestOnly, "%s was pushed without a tag", quote(image.Repository))
	case isAttachmentTag(image.Tag):
		d.ignore(IgnoredNotAnImage, "%s at %s is a signature or another attachment of an image",
			quote(image.Tag), quote(image.Repository))
	default:
		e.Image = &image
		d.add(e)
	}
}

// isAttachmentTag reports whether clients store attachments of an image under the tag: a digest with a dash instead of
// the colon. Each push of a signed image is followed by a push of such a tag.
//
//	sha256-<hex>        https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
//	sha256-<hex>.sig    https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
func isAttachmentTag(tag string) bool {
	subject, _, _ := strings.Cut(tag, ".")
	algorithm, hex, _ := strings.Cut(subject, "-")
	return naming.IsDigest(algorithm + ":" + hex)
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
