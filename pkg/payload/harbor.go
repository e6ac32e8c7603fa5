// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"postern.dev/postern/apis/postern"
)

var harbor = Sender{
	Name: "harbor", Requests: RequestsImages, Expects: "type and event_data",
	Identity: true, SecretFlag: true,
	namedBy: binaryCloudEvent(harborPrefix),
	shape:   anyOf(hasAll("type", "event_data"), structuredCloudEvent(harborPrefix)),
	decode:  decodeHarbor,
}

// harborNotification contains the used fields of Harbor's default format:
// https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/
//
// Harbor sends one configured value unchanged as Authorization: "Bearer " and a ServiceAccount token.
type harborNotification struct {
	Type      string          `json:"type"`
	OccurAt   timestamp       `json:"occur_at"`
	EventData harborEventData `json:"event_data"`
}

// harborEventData is the event data in the default format and in Harbor's CloudEvents.
type harborEventData struct {
	Resources  list[harborResource] `json:"resources"`
	Repository struct {
		RepoFullName string `json:"repo_full_name"`
		Namespace    string `json:"namespace"`
		Name         string `json:"name"`
	} `json:"repository"`
	Replication harborReplication `json:"replication"`
}

// harborReplication contains the used fields of the event for each replicated artifact. In its destination it is the
// only event: src/controller/event/handler/webhook/artifact/replication.go in https://github.com/goharbor/harbor.
type harborReplication struct {
	Destination struct {
		Endpoint  string `json:"endpoint"`
		Namespace string `json:"namespace"`
	} `json:"dest_resource"`
	Successful list[struct {
		Type    string       `json:"type"`
		NameTag string       `json:"name_tag"` // shop [1 item(s) in total], or shop:1.4.0
		Tags    list[string] `json:"references"`
	}] `json:"successful_artifact"`
}

type harborResource struct {
	Digest      string `json:"digest"`
	Tag         string `json:"tag"` // the digest if there is no tag
	ResourceURL string `json:"resource_url"`
}

// harborPrefix is the type prefix of Harbor's CloudEvents.
const harborPrefix = "harbor."

func decodeHarbor(m message, out *Decoded) error {
	if m.has("event_data") {
		p, err := decodeAs[harborNotification](m)
		if err != nil {
			return err
		}
		return decodeHarborEvent(m, p.Type, p.OccurAt, p.EventData, out)
	}
	e, err := readCloudEvent(m)
	if err != nil {
		return err
	}
	out.DeliveryID = e.ID
	inner, err := e.data()
	if err != nil {
		return err
	}
	data, err := decodeAs[harborEventData](inner)
	if err != nil {
		return err
	}
	return decodeHarborEvent(m, e.Type, e.Time, data, out)
}

func decodeHarborEvent(m message, eventType string, at timestamp, data harborEventData, out *Decoded) error {
	event := postern.DeliveryEvent{Event: eventType, Time: at.microTime()}
	name := fullName(data.Repository.RepoFullName, data.Repository.Namespace, data.Repository.Name)
	switch eventType {
	case "PUSH_ARTIFACT", harborPrefix + "artifact.pushed":
	case "REPLICATION", harborPrefix + "replication.status.changed":
		return data.Replication.decode(m, event, out)
	case "DELETE_ARTIFACT", harborPrefix + "artifact.deleted":
		out.ignore(IgnoredRefDeleted, "an artifact of %s was deleted", quote(name))
		return nil
	default:
		out.ignore(IgnoredEvent, "the event %s asks for no image; send pushed artifacts", quote(eventType))
		return nil
	}
	if len(data.Resources) == 0 {
		return missing("resources", "it lists the pushed artifacts")
	}
	for _, r := range data.Resources {
		host, _ := splitAddress(r.ResourceURL)
		host, repository, err := m.pullReference(registry{host: host}, name)
		if err != nil {
			return err
		}
		if err := require("resource_url, or registry_url in the URL", host, "repo_full_name", name); err != nil {
			return err
		}
		out.addImage(event,
			postern.ImageReference{Host: host, Repository: repository, Tag: r.Tag, Digest: r.Digest})
	}
	return nil
}

// decode adds the artifacts that were replicated. Harbor sends it for each artifact, after the replication began and
// when it ended.
func (r harborReplication) decode(m message, event postern.DeliveryEvent, out *Decoded) error {
	if len(r.Successful) == 0 {
		out.ignore(IgnoredEvent, "the replication has no successful artifact")
		return nil
	}
	for _, artifact := range r.Successful {
		name, _, _ := strings.Cut(artifact.NameTag, " ")
		name, _, _ = strings.Cut(name, ":")
		host, _ := splitAddress(r.Destination.Endpoint)
		host, repository, err := m.pullReference(registry{host: host},
			fullName("", r.Destination.Namespace, name))
		if err != nil {
			return err
		}
		if err := require("dest_resource.endpoint, or registry_url in the URL", host,
			"dest_resource.namespace, and successful_artifact.name_tag", repository); err != nil {
			return err
		}
		mediaType := harborMediaTypes[artifact.Type]
		if mediaType == "" {
			out.ignore(IgnoredNotAnImage, "%s is of the type %s", quote(name), quote(artifact.Type))
			continue
		}
		if len(artifact.Tags) == 0 {
			out.ignore(IgnoredDigestOnly, "%s was replicated without a tag", quote(name))
		}
		for _, tag := range artifact.Tags {
			out.addImage(event, postern.ImageReference{Host: host, Repository: repository, Tag: tag}, mediaType)
		}
	}
	return nil
}

// harborMediaTypes are media types by the type of a replicated artifact.
var harborMediaTypes = map[string]string{
	"image": imageMediaTypes[0],
	"chart": chartMediaType + "config.v1+json",
}
