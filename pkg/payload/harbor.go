// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"postern.dev/postern/apis/postern"
)

var harbor = Sender{
	Name: "harbor", Requests: RequestsImages, Expects: "type and event_data",
	Identity: true, SecretFlag: true,
	sentBy: withCloudEventType(harborPrefix), fits: fitsHarbor, decode: decodeHarbor,
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
	} `json:"repository"`
}

type harborResource struct {
	Digest      string `json:"digest"`
	Tag         string `json:"tag"` // the digest if there is no tag
	ResourceURL string `json:"resource_url"`
}

// harborPrefix is the type prefix of Harbor's CloudEvents.
const harborPrefix = "harbor."

func fitsHarbor(m message) bool {
	return m.has("type") && m.has("event_data") || isStructuredCloudEvent(m, harborPrefix)
}

func decodeHarbor(m message, out *Decoded) error {
	if m.has("event_data") {
		p, err := decodeAs[harborNotification](m)
		if err != nil {
			return err
		}
		return decodeHarborEvent(p.Type, p.OccurAt, p.EventData, out)
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
	return decodeHarborEvent(e.Type, e.Time, data, out)
}

func decodeHarborEvent(eventType string, at timestamp, data harborEventData, out *Decoded) error {
	switch eventType {
	case "PUSH_ARTIFACT", harborPrefix + "artifact.pushed":
	case "DELETE_ARTIFACT", harborPrefix + "artifact.deleted":
		out.ignore(IgnoredRefDeleted, "an artifact of %s was deleted", quote(data.Repository.RepoFullName))
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
		if err := require("resource_url", host, "repo_full_name", data.Repository.RepoFullName); err != nil {
			return err
		}
		out.addImage(postern.DeliveryEvent{Event: eventType, Time: at.microTime()},
			postern.ImageReference{Host: host, Repository: data.Repository.RepoFullName, Tag: r.Tag, Digest: r.Digest})
	}
	return nil
}
