// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"
	"strings"
)

const sourceZot = "zot"

// zotImage is the part that is read of the data of zot's CloudEvents, which it sends in binary mode:
// https://zotregistry.dev/latest/articles/event-monitoring/, pkg/extensions/events in https://github.com/project-zot/zot
//
// zot sets any headers that one configures, or its credentials as Authorization: a ServiceAccount's token as "token" there
// gives it a Kubernetes identity; else the secret as X-Webhook-Secret. It doesn't sign.
//
// It doesn't say where it is: the source of all its events is zotregistry.dev. The URL of the sink must, as registry_url.
type zotImage struct {
	Name      string `json:"name"`
	Reference string `json:"reference"` // the tag, or the digest
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Manifest  string `json:"manifest"` // as it was pushed
}

const zotPrefix = "zotregistry."

func fitsZot(m message) bool {
	return isStructuredCloudEvent(m, zotPrefix)
}

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
	host, repository, err := m.pullReference(registry{source: sourceZot}, p.Name)
	if err != nil {
		return err
	}
	if err := require("name", p.Name, "reference", p.Reference, "registry_url in the URL", host); err != nil {
		return err
	}
	out.addImage(Event{Type: e.Type, Time: e.Time.time},
		Image{Host: host, Repository: repository, Tag: p.Reference, Digest: p.Digest}, p.MediaType, p.configMediaType())
	return nil
}

// configMediaType returns what the manifest says that it is the manifest of, or "": those of charts and signatures are of
// the same type as those of images.
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
