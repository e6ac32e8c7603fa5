// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"postern.dev/postern/apis/postern"
)

var acr = Sender{
	Name: "acr", Requests: RequestsImages, Expects: "id, timestamp, action and target",
	Identity: true, Token: true, SecretFlag: true,
	fits: fitsACR, decode: decodeACR,
}

func fitsACR(m message) bool {
	return m.has("id") && m.has("timestamp") && m.has("action") &&
		(m.has("target", "repository") || m.text("action") == "ping")
}

// decodeACR decodes the webhooks of Azure Container Registry, which are notifications of Distribution without an
// envelope:
// https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference
func decodeACR(m message, out *Decoded) error {
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
	if err := require("request.host", p.Request.Host, "target.repository", p.Target.Repository); err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: p.Action, Time: p.Timestamp.microTime()},
		postern.ImageReference{
			Host: p.Request.Host, Repository: p.Target.Repository, Tag: p.Target.Tag, Digest: p.Target.Digest,
		}, p.Target.MediaType)
	return nil
}
