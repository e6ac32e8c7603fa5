// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "strings"

const sourceJFrog = "jfrog"

// jfrogEvent is the part that is read of the predefined webhooks of JFrog Artifactory:
// https://docs.jfrog.com/administration/docs/event-types
//
// JFrog sends its secret as X-JFrog-Event-Auth, or, if told so, an HMAC-SHA256 made with it. It sets further headers that
// one configures: a ServiceAccount's token as Authorization gives it a Kubernetes identity. There is no id and no time.
//
// Older installations don't tell jpd_origin, and where a repository has a host name of its own, nothing in the payload says
// so: registry_url in the webhook's URL does, below which the image's name follows at once.
type jfrogEvent struct {
	Domain    string     `json:"domain"`
	EventType string     `json:"event_type"`
	JPDOrigin string     `json:"jpd_origin"`
	Data      jfrogImage `json:"data"`
}

type jfrogImage struct {
	RepoKey string `json:"repo_key"`
	// Path is that of the manifest within the repository: team/shop/1.4.0/manifest.json.
	Path string `json:"path"`
	// ImageName is the last part of the name alone, shop, in what Artifactory sends, whatever its documentation shows
	// (https://github.com/akuity/kargo/pull/4498). It is for people only.
	ImageName string `json:"image_name"`
	// ImageType is docker, or oci, which images may be too: Artifactory doesn't tell them from the charts beside them.
	ImageType string `json:"image_type"`
	Tag       string `json:"tag"`
	SHA256    string `json:"sha256"` // of the manifest
}

// name returns the whole name of the image within its repository, or "" if the path is not that of a manifest.
func (i jfrogImage) name() string {
	tag := strings.LastIndexByte(i.Path, '/')
	name := strings.LastIndexByte(i.Path[:max(tag, 0)], '/')
	return i.Path[:max(name, 0)]
}

func fitsJFrog(m message) bool {
	return m.has("domain") && m.has("event_type") && m.has("data")
}

func decodeJFrog(m message, out *Decoded) error {
	p, err := decodeAs[jfrogEvent](m)
	if err != nil {
		return err
	}
	d := p.Data
	switch {
	case p.Domain != "docker":
		out.ignore(IgnoredEvent, "events of %s ask for no image; send those of Docker", quote(p.Domain))
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
	if err := require("data.repo_key", d.RepoKey, "data.path, as name/tag/manifest.json", name, "data.tag", d.Tag); err != nil {
		return err
	}
	origin, _ := splitAddress(p.JPDOrigin)
	host, path, given, err := m.address(registry{source: sourceJFrog, repository: d.RepoKey, host: origin})
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
	if err := require("jpd_origin, or registry_url in the URL, or "+registryURLKey(sourceJFrog), host); err != nil {
		return err
	}
	digest := ""
	if d.SHA256 != "" {
		digest = "sha256:" + strings.ToLower(d.SHA256)
	}
	out.addImage(Event{Type: "docker." + p.EventType}, Image{Host: host, Repository: repository, Tag: d.Tag, Digest: digest})
	return nil
}
