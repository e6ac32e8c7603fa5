// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

const sourceDistribution = "distribution"

// registryEnvelope is the part that is read of what a CNCF Distribution registry sends, the one within GitLab and many
// products included: https://distribution.github.io/distribution/about/notifications/
//
// It sets any headers that one configures: a ServiceAccount's token as Authorization gives it a Kubernetes identity; else
// the secret as X-Webhook-Secret. It doesn't sign. It repeats what was not accepted forever, in order, so one body that
// can never work holds up all others.
type registryEnvelope struct {
	Events list[registryEvent] `json:"events"`
}

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
		// References are what a manifest holds: its configuration and layers. The registry sends them if it is told to.
		References list[registryDescriptor] `json:"references"`
	} `json:"target"`
	Request struct {
		Host string `json:"host"`
	} `json:"request"`
}

type registryDescriptor struct {
	MediaType string `json:"mediaType"`
}

// sentByDistribution goes by the media type of the envelope, whose version has changed before.
func sentByDistribution(h http.Header) bool {
	return strings.HasPrefix(mediaType(h), "application/vnd.docker.distribution.events.")
}

// fitsDistribution looks into the first event, because the name "events" alone says little.
func fitsDistribution(m message) bool {
	events := m.object.find("events")
	if countElements(events) == 0 {
		return false
	}
	start := skipSpace(events, 1)
	first := events[start:skipValue(events, start)]
	return memberValue(first, "action") != nil && memberValue(first, "target") != nil
}

func decodeDistribution(m message, out *Decoded) error {
	p, err := decodeAs[registryEnvelope](m)
	if err != nil {
		return err
	}
	if len(p.Events) == 0 {
		return missing("events", "they are what happened in the registry")
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
	host, repository, err := m.pullReference(registry{source: sourceDistribution, host: cmp.Or(e.Request.Host, urlHost)}, t.Repository)
	if err != nil {
		return err
	}
	if err := require("events.target.repository", t.Repository, "events.request.host, or events.target.url", host); err != nil {
		return err
	}
	out.addImage(Event{Type: e.Action, DeliveryID: id, Time: e.Timestamp.time},
		Image{Host: host, Repository: repository, Tag: t.Tag, Digest: t.Digest}, t.MediaType, e.artifactType())
	return nil
}

// artifactType returns the media type of the first thing that the manifest holds if none of all is part of an image, else
// "". The manifests of charts and signatures are of the same type as those of images; what they hold is not.
func (e registryEvent) artifactType() string {
	held := e.Target.References
	for _, r := range held {
		if slices.Contains(imageMediaTypes, r.MediaType) {
			return ""
		}
	}
	if len(held) == 0 {
		return ""
	}
	return held[0].MediaType
}
