// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"postern.dev/postern/apis/postern"
)

var acr = Sender{
	Name:       "acr",
	Requests:   RequestsImages,
	Expects:    "id, timestamp, action and target",
	Identity:   true,
	Token:      true,
	SecretFlag: true,
	fits:       fitsACR,
	decode:     decodeACR,
}

// acrEvent contains the used fields of Azure Container Registry's webhooks:
// https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference
//
// The registry sends configured headers: a ServiceAccount token as Authorization, for a Kubernetes identity, or the
// secret as X-Webhook-Secret. It does not sign.
type acrEvent struct {
	ID        string    `json:"id"`
	Timestamp timestamp `json:"timestamp"`
	Action    string    `json:"action"`
	Target    struct {
		MediaType  string `json:"mediaType"`
		Digest     string `json:"digest"`
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"target"`
	Request struct {
		Host string `json:"host"`
	} `json:"request"`
}

func fitsACR(m message) bool {
	return m.has("id") && m.has("timestamp") && m.has("action") &&
		(m.has("target", "repository") || m.text("action") == "ping")
}

func decodeACR(m message, out *Decoded) error {
	p, err := decodeAs[acrEvent](m)
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
