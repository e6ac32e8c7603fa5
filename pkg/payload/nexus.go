// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

const sourceNexus = "nexus"

// nexusEvent is the part that is read of what Sonatype Nexus Repository sends about a component:
// https://help.sonatype.com/en/example-headers-and-payloads.html
//
// Nexus signs with HMAC-SHA1: X-Nexus-Webhook-Signature. It knows nothing better and sets no header of one's own, so its
// callers have no Kubernetes identity.
//
// It doesn't say where it is, and a repository may have a port, a path or a host name of its own. Since the signature does
// not cover the URL, the address is kept beside the secret.
type nexusEvent struct {
	Timestamp      timestamp `json:"timestamp"`
	RepositoryName string    `json:"repositoryName"`
	Action         string    `json:"action"`
	Component      struct {
		Format  string `json:"format"`
		Name    string `json:"name"`
		Version string `json:"version"` // the tag, or the digest
	} `json:"component"`
}

func fitsNexus(m message) bool {
	return m.has("repositoryName") && m.has("action") && m.hasAny("component", "asset")
}

func decodeNexus(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID("X-Nexus-Webhook-Delivery"); err != nil {
		return err
	}
	if event := m.header.Get("X-Nexus-Webhook-Id"); !m.has("component") || (event != "" && event != "rm:repository:component") {
		out.ignore(IgnoredEvent, "the event %s asks for no image; send those of components", quote(event))
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
	host, repository, err := m.pullReference(registry{source: sourceNexus, repository: p.RepositoryName}, c.Name)
	if err != nil {
		return err
	}
	if err := require("component.name", c.Name, "component.version", c.Version, "registry_url in the URL, or "+registryURLKey(sourceNexus), host); err != nil {
		return err
	}
	out.addImage(Event{Type: "component." + p.Action, Time: p.Timestamp.time},
		Image{Host: host, Repository: repository, Tag: c.Version})
	return nil
}
