// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"postern.dev/postern/apis/postern"
)

var nexus = Sender{
	Name: "nexus", Requests: RequestsImages, Expects: "repositoryName and component",
	Signatures:  []SignatureScheme{SignatureNexus},
	identifying: []string{"X-Nexus-Webhook-Id", "X-Nexus-Webhook-Delivery"},
	kept:        []string{"X-Nexus-Webhook-Id", "X-Nexus-Webhook-Delivery"},
	namedBy:     hasHeader("X-Nexus-Webhook-Id"),
	shape:       allOf(hasAll("repositoryName", "action"), hasAny("component", "asset")),
	decode:      decodeNexus,
}

// nexusEvent contains the used fields of component webhooks of Sonatype Nexus Repository:
// https://help.sonatype.com/en/example-headers-and-payloads.html
//
// The payload does not contain the address, and each repository may have its own port, path or host name. Because the
// signature does not cover the URL, the address is stored with the secret.
type nexusEvent struct {
	Timestamp      timestamp `json:"timestamp"`
	RepositoryName string    `json:"repositoryName"`
	Action         string    `json:"action"`
	Component      struct {
		Format  string `json:"format"`
		Name    string `json:"name"`
		Version string `json:"version"` // the tag or the digest
	} `json:"component"`
}

func decodeNexus(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID("X-Nexus-Webhook-Delivery"); err != nil {
		return err
	}
	eventName := m.header.Get("X-Nexus-Webhook-Id")
	if !m.has("component") || (eventName != "" && eventName != "rm:repository:component") {
		out.ignore(IgnoredEvent, "the event %s asks for no image; send component events", quote(eventName))
		return nil
	}
	p, err := decodeAs[nexusEvent](m)
	if err != nil {
		return err
	}
	c := p.Component
	switch {
	case c.Format != "docker":
		out.ignore(IgnoredNotAnImage, "a component of %s is of the format %s", quote(p.RepositoryName), quote(c.Format))
		return nil
	case p.Action == "DELETED":
		out.ignore(IgnoredRefDeleted, "%s of %s was deleted", quote(c.Version), quote(c.Name))
		return nil
	case p.Action != "CREATED" && p.Action != "UPDATED":
		out.ignore(IgnoredAction, "the action %s publishes no image", quote(p.Action))
		return nil
	}
	host, repository, err := m.pullReference(registry{repository: p.RepositoryName}, c.Name)
	if err != nil {
		return err
	}
	if err := require("component.name", c.Name, "component.version", c.Version,
		"registry_url in the URL, or "+RegistryURLKey(m.source), host); err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: "component." + p.Action, Time: p.Timestamp.microTime()},
		postern.ImageReference{Host: host, Repository: repository, Tag: c.Version})
	return nil
}
