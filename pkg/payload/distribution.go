// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"slices"

	"postern.dev/postern/apis/postern"
)

var distribution = Sender{
	Name: "distribution", Requests: RequestsImages, Expects: "events with action and target",
	Identity: true, Token: true,
	namedBy: hasMediaTypePrefix("application/vnd.docker.distribution.events."),
	shape:   firstItemHas("events", "action", "target"),
	decode:  decodeDistribution,
}

// registryEnvelope contains the used fields of notifications of CNCF Distribution, which GitLab and many other products
// include: https://distribution.github.io/distribution/about/notifications/
//
// The registry retries refused notifications forever and in order, so one body that can never succeed blocks all
// others.
type registryEnvelope struct {
	Events list[registryEvent] `json:"events"`
}

// registryEvent is one notification. Azure Container Registry sends it too.
type registryEvent struct {
	ID        string    `json:"id"`
	Timestamp timestamp `json:"timestamp"`
	Action    string    `json:"action"`
	Target    struct {
		MediaType  string `json:"mediaType"`
		Digest     string `json:"digest"`
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
		URL        string `json:"url"`
		// References are the configuration and layers of a manifest. The registry sends them only if configured.
		References list[registryDescriptor] `json:"references"`
	} `json:"target"`
	Request struct {
		Host string `json:"host"`
	} `json:"request"`
}

type registryDescriptor struct {
	MediaType string `json:"mediaType"`
}

func decodeDistribution(m message, out *Decoded) error {
	p, err := decodeAs[registryEnvelope](m)
	if err != nil {
		return err
	}
	if len(p.Events) == 0 {
		return missing("events", "it lists the events of the registry")
	}
	for _, e := range p.Events {
		id, err := cleanID("events.id", e.ID)
		if err != nil {
			return err
		}
		if err := e.decode(m, id, out); err != nil {
			return err
		}
		if len(p.Events) == 1 {
			out.DeliveryID = id
		}
	}
	return nil
}

func (e registryEvent) decode(m message, id string, out *Decoded) error {
	t := e.Target
	switch {
	case e.Action == "delete":
		out.ignore(IgnoredRefDeleted, "something at %s was deleted", quote(t.Repository))
		return nil
	case e.Action != "push":
		out.ignore(IgnoredAction, "the action %s at %s publishes no image", quote(e.Action), quote(t.Repository))
		return nil
	}
	urlHost, _ := splitAddress(t.URL)
	host, repository, err := m.pullReference(
		registry{host: cmp.Or(e.Request.Host, urlHost)}, t.Repository)
	if err != nil {
		return err
	}
	if err := require("events.target.repository", t.Repository, "events.request.host, or events.target.url",
		host); err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: e.Action, DeliveryID: id, Time: e.Timestamp.microTime()},
		postern.ImageReference{Host: host, Repository: repository, Tag: t.Tag, Digest: t.Digest},
		t.MediaType, e.artifactType())
	return nil
}

// artifactType returns the media type of the first reference if no reference is part of an image, else "". Manifests of
// charts, signatures and images have the same media type; only their references differ.
func (e registryEvent) artifactType() string {
	references := e.Target.References
	for _, r := range references {
		if slices.Contains(imageMediaTypes, r.MediaType) {
			return ""
		}
	}
	if len(references) == 0 {
		return ""
	}
	return references[0].MediaType
}
