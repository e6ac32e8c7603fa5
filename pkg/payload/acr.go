// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"postern.dev/postern/apis/postern"
)

var acr = Sender{
	Name: "acr", Requests: RequestsImages, Expects: "action and target",
	Identity: true, Token: true, SecretFlag: true,
	shape: allOf(hasAll("id", "timestamp", "action"),
		anyOf(has("target", "repository"), textIs("ping", "action"))),
	accepts: anyOf(allOf(hasAll("action"), anyOf(has("target", "repository"), textIs("ping", "action"))),
		structuredCloudEvent(azureEventPrefix)),
	decode: decodeACR,
}

// azureEventPrefix is the type prefix of the registry's CloudEvents from Azure Event Grid.
const azureEventPrefix = "Microsoft.ContainerRegistry."

// decodeACR decodes the webhooks of Azure Container Registry, which are notifications of Distribution without an
// envelope:
// https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference
func decodeACR(m message, out *Decoded) error {
	if structuredCloudEvent(azureEventPrefix)(m) {
		out.ignore(IgnoredEvent, "this is a CloudEvent of Azure Event Grid: send it to the source cloudevents")
		return nil
	}
	p, err := decodeAs[registryEvent](m)
	if err != nil {
		return err
	}
	if out.DeliveryID, err = cleanID("id", p.ID); err != nil {
		return err
	}
	switch {
	case p.Action == "ping":
		out.ignore(IgnoredPing, "Azure Container Registry tests the webhook")
		return nil
	case strings.Contains(p.Action, "delete"):
		out.ignore(IgnoredRefDeleted, "something at %s was deleted", quote(p.Target.Repository))
		return nil
	case p.Action != "push":
		out.ignore(IgnoredAction, "the action %s publishes no image", quote(p.Action))
		return nil
	}
	host, repository, err := m.pullReference(registry{host: p.Request.Host}, p.Target.Repository)
	if err != nil {
		return err
	}
	if err := require("request.host, or registry_url in the URL", host,
		"target.repository", p.Target.Repository); err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: p.Action, Time: p.Timestamp.microTime()},
		postern.ImageReference{
			Host: host, Repository: repository, Tag: p.Target.Tag, Digest: p.Target.Digest,
		}, p.Target.MediaType)
	return nil
}
