// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"
	"strings"

	"postern.dev/postern/apis/postern"
)

var zot = Sender{
	Name: "zot", Requests: RequestsImages, Expects: "a CloudEvent of zotregistry",
	Identity: true, Token: true,
	namedBy: binaryCloudEvent(zotPrefix), shape: structuredCloudEvent(zotPrefix), decode: decodeZot,
}

// zotImage contains the used fields of the data of zot's CloudEvents, which are in binary mode:
// https://zotregistry.dev/latest/articles/event-monitoring/, pkg/extensions/events in
// https://github.com/project-zot/zot
//
// zot sends configured headers, or its "token" as Authorization. The events do not contain the address of the registry;
// their source is always zotregistry.dev. Set registry_url in the URL of the sink.
type zotImage struct {
	Name      string `json:"name"`
	Reference string `json:"reference"` // the tag or the digest
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Manifest  string `json:"manifest"` // the manifest as pushed
}

const zotPrefix = "zotregistry."

func decodeZot(m message, out *Decoded) error {
	e, err := readCloudEvent(m)
	if err != nil {
		return err
	}
	out.DeliveryID = e.ID
	switch strings.TrimPrefix(e.Type, zotPrefix) {
	case "image.updated":
	case "image.deleted":
		out.ignore(IgnoredRefDeleted, "an image was deleted")
		return nil
	default:
		out.ignore(IgnoredEvent, "the event %s asks for no image", quote(e.Type))
		return nil
	}
	data, err := e.data()
	if err != nil {
		return err
	}
	p, err := decodeAs[zotImage](data)
	if err != nil {
		return err
	}
	host, repository, err := m.pullReference(registry{}, p.Name)
	if err != nil {
		return err
	}
	if err := require("name", p.Name, "reference", p.Reference, "registry_url in the URL", host); err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: e.Type, Time: e.Time.microTime()},
		postern.ImageReference{Host: host, Repository: repository, Tag: p.Reference, Digest: p.Digest},
		p.MediaType, p.configMediaType())
	return nil
}

// configMediaType returns the media type of the manifest's configuration, or "". Manifests of charts, signatures and
// images have the same media type; only their configurations differ.
func (p zotImage) configMediaType() string {
	var manifest struct {
		Config struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
	}
	if json.Unmarshal([]byte(p.Manifest), &manifest) != nil {
		return ""
	}
	return manifest.Config.MediaType
}
