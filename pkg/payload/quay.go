// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"slices"

	"postern.dev/postern/apis/postern"
)

var quay = Sender{
	Name: "quay.io", Requests: RequestsImages, Expects: "docker_url and updated_tags",
	QueryToken: true, SecretFlag: true,
	shape:   hasAll("docker_url", "homepage"),
	accepts: hasAll("repository", "updated_tags"),
	decode:  decodeQuay,
}

// quayNotification contains the used fields of the notification that Quay sends for pushes:
// https://docs.quay.io/guides/notifications.html
//
// A client certificate, which self-hosted Quay supports, ends at the kube-apiserver. There is no id, no digest and no
// time.
type quayNotification struct {
	DockerURL   string       `json:"docker_url"`
	Repository  string       `json:"repository"`
	UpdatedTags list[string] `json:"updated_tags"`
}

// decodeQuay detects a test by pruned_image_count, which only Quay's sample has; otherwise the sample looks like a push
// of two tags: notifications/notificationevent.py in https://github.com/quay/quay.
func decodeQuay(m message, out *Decoded) error {
	p, err := decodeAs[quayNotification](m)
	if err != nil {
		return err
	}
	switch {
	case !m.has("updated_tags"):
		out.ignore(IgnoredEvent, "the notification asks for no image; send repository push notifications")
		return nil
	case m.has("pruned_image_count") && slices.Equal(p.UpdatedTags, []string{"latest", "foo"}):
		out.ignore(IgnoredPing, "Quay tests the webhook")
		return nil
	case len(p.UpdatedTags) == 0:
		return missing("updated_tags", "it lists the pushed tags")
	}
	host, _ := splitAddress(p.DockerURL)
	host, repository, err := m.pullReference(registry{host: host}, p.Repository)
	if err != nil {
		return err
	}
	if err := require("docker_url, or registry_url in the URL", host, "repository", p.Repository); err != nil {
		return err
	}
	for _, tag := range p.UpdatedTags {
		out.addImage(postern.DeliveryEvent{Event: "repo_push"},
			postern.ImageReference{Host: host, Repository: repository, Tag: tag})
	}
	return nil
}
