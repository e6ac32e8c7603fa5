// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"postern.dev/postern/apis/postern"
)

var jfrog = Sender{
	Name: "jfrog", Requests: RequestsImages, Expects: "domain, event_type and data",
	Identity: true, Signatures: []SignatureScheme{SignatureJFrog}, Token: true,
	shape:  hasAll("domain", "event_type", "data"),
	decode: decodeJFrog,
}

// jfrogEvent contains the used fields of the predefined webhooks of JFrog Artifactory:
// https://docs.jfrog.com/administration/docs/event-types
//
// There is no id and no time.
//
// Old installations omit jpd_origin, and the payload never reports a repository's own host name. In these cases, set
// registry_url in the webhook's URL; the image name follows it directly.
type jfrogEvent struct {
	Domain    string     `json:"domain"`
	EventType string     `json:"event_type"`
	JPDOrigin string     `json:"jpd_origin"`
	Data      jfrogImage `json:"data"`
}

type jfrogImage struct {
	RepoKey string `json:"repo_key"`
	// Path is the path of the manifest in the repository: team/shop/1.4.0/manifest.json.
	Path string `json:"path"`
	// ImageName is only the last part of the name, shop, contrary to Artifactory's documentation
	// (https://github.com/akuity/kargo/pull/4498). It is used only in messages.
	ImageName string `json:"image_name"`
	// ImageType is docker or oci. Images may be oci too: Artifactory does not distinguish them from charts.
	ImageType string `json:"image_type"`
	Tag       string `json:"tag"`
	SHA256    string `json:"sha256"` // digest of the manifest
}

// name returns the full image name in the repository, or "" if Path is not a manifest path.
func (i jfrogImage) name() string {
	tag := strings.LastIndexByte(i.Path, '/')
	name := strings.LastIndexByte(i.Path[:max(tag, 0)], '/')
	return i.Path[:max(name, 0)]
}

func decodeJFrog(m message, out *Decoded) error {
	p, err := decodeAs[jfrogEvent](m)
	if err != nil {
		return err
	}
	d := p.Data
	switch {
	case p.Domain != "docker":
		out.ignore(IgnoredEvent, "events of the domain %s ask for no image; send Docker events", quote(p.Domain))
		return nil
	case p.EventType == "deleted":
		out.ignore(IgnoredRefDeleted, "%s of %s was deleted", quote(d.Tag), quote(d.ImageName))
		return nil
	case p.EventType != "pushed":
		out.ignore(IgnoredAction, "the event %s publishes no new image; only pushed counts", quote(p.EventType))
		return nil
	case d.SHA256 == "sample_checksum":
		out.ignore(IgnoredPing, "JFrog tests the webhook")
		return nil
	case d.ImageType != "" && d.ImageType != "docker" && d.ImageType != "oci":
		out.ignore(IgnoredNotAnImage, "%s is of the type %s", quote(d.ImageName), quote(d.ImageType))
		return nil
	}
	name := d.name()
	if err := require("data.repo_key", d.RepoKey, "data.path, as name/tag/manifest.json", name, "data.tag",
		d.Tag); err != nil {
		return err
	}
	origin, _ := splitAddress(p.JPDOrigin)
	host, path, given, err := m.address(registry{repository: d.RepoKey, host: origin})
	if err != nil {
		return err
	}
	repository := name
	switch {
	case !given:
		repository = d.RepoKey + "/" + name
	case path != "":
		repository = path + "/" + name
	}
	if err := require("jpd_origin, or registry_url in the URL, or "+RegistryURLKey(m.source), host); err != nil {
		return err
	}
	digest := ""
	if d.SHA256 != "" {
		digest = "sha256:" + strings.ToLower(d.SHA256)
	}
	out.addImage(postern.DeliveryEvent{Event: "docker." + p.EventType},
		postern.ImageReference{Host: host, Repository: repository, Tag: d.Tag, Digest: digest})
	return nil
}
