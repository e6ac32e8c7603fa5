// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"encoding/base64"
	"strconv"
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

var gar = Sender{
	Name: "gar", Requests: RequestsImages, Expects: "message.data and subscription, or action and tag",
	QueryToken:  true,
	identifying: []string{"X-Goog-Pubsub-Message-Id", "X-Goog-Pubsub-Publish-Time"},
	shape:       allOf(has("message", "data"), hasAll("subscription")),
	accepts:     anyOf(has("message", "data"), allOf(hasAll("action"), hasAny("tag", "digest"))),
	decode:      decodeGAR,
}

// pubSubPush contains the used fields of a push subscription of Google Cloud Pub/Sub:
// https://cloud.google.com/pubsub/docs/push
//
// With authentication, Pub/Sub sends a Google token as Authorization. The kube-apiserver accepts its service account if
// structured authentication trusts https://accounts.google.com, and otherwise answers 401; the classic receiver accepts
// it if the namespace trusts that issuer. Pub/Sub cannot send other tokens or headers. Without authentication, only
// ?secret= in the URL authenticates it. It does not sign.
type pubSubPush struct {
	Message struct {
		Data        string    `json:"data"` // base64
		MessageID   string    `json:"messageId"`
		PublishTime timestamp `json:"publishTime"`
	} `json:"message"`
}

// artifactRegistryChange is the message that Google Artifact Registry publishes to the topic "gcr". Its references
// include the host: https://cloud.google.com/artifact-registry/docs/configure-notifications
type artifactRegistryChange struct {
	Action string `json:"action"`
	Tag    string `json:"tag"`
	Digest string `json:"digest"`
}

func decodeGAR(m message, out *Decoded) error {
	inner, published, err := unwrapPubSub(m, out)
	if err != nil {
		return err
	}
	change, err := decodeAs[artifactRegistryChange](inner)
	if err != nil {
		return err
	}
	switch change.Action {
	case "INSERT":
	case "DELETE":
		out.ignore(IgnoredRefDeleted, "an image or tag was deleted")
		return nil
	default:
		out.ignore(IgnoredAction, "the action %s publishes no image; subscribe to the topic gcr", quote(change.Action))
		return nil
	}
	image, err := change.image()
	if err != nil {
		return err
	}
	image.Host, image.Repository, err = m.pullReference(registry{host: image.Host}, image.Repository)
	if err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: change.Action, Time: published.microTime()}, image)
	return nil
}

// unwrapPubSub returns the message of a push, and when it was published. A subscription with payload unwrapping sends
// the message alone, and its metadata in headers if that is enabled:
// https://cloud.google.com/pubsub/docs/payload-unwrapping
func unwrapPubSub(m message, out *Decoded) (inner message, published timestamp, err error) {
	if !m.has("message") {
		at := strconv.AppendQuoteToASCII(nil, m.header.Get("X-Goog-Pubsub-Publish-Time"))
		_ = published.UnmarshalJSON(at) // without a valid time the event has none
		out.DeliveryID, err = m.deliveryID("X-Goog-Pubsub-Message-Id")
		return m, published, err
	}
	p, err := decodeAs[pubSubPush](m)
	if err != nil {
		return message{}, timestamp{}, err
	}
	if out.DeliveryID, err = cleanID("message.messageId", p.Message.MessageID); err != nil {
		return message{}, timestamp{}, err
	}
	data, err := base64.StdEncoding.DecodeString(p.Message.Data)
	if err != nil {
		return message{}, timestamp{}, refuse(ErrorInvalidField, "message.data is not base64")
	}
	inner, err = innerMessage("message.data", data)
	return inner, p.Message.PublishTime, err
}

// image combines the two references. Both are complete, and other publishers may have access to the topic, so they must
// name the same image in a Google registry.
func (c artifactRegistryChange) image() (postern.ImageReference, error) {
	if err := require("tag, or digest, in message.data", c.Tag+c.Digest); err != nil {
		return postern.ImageReference{}, err
	}
	var image postern.ImageReference
	for _, ref := range []string{c.Digest, c.Tag} {
		if ref == "" {
			continue
		}
		i, err := naming.ParseImage(ref)
		if err != nil {
			return postern.ImageReference{}, refuse(ErrorInvalidImage, "%v", err)
		}
		i.Digest = cmp.Or(i.Digest, image.Digest)
		if image.Host != "" && (i.Host != image.Host || i.Repository != image.Repository || i.Digest != image.Digest) {
			return postern.ImageReference{}, refuse(ErrorInvalidImage,
				"the tag %s and the digest are of different images", quote(c.Tag))
		}
		image = i
	}
	if !isGoogleHost(image.Host) {
		return postern.ImageReference{}, refuse(ErrorInvalidImage,
			"the image %s is not in a Google registry: expected a tag at *.pkg.dev or *gcr.io",
			quote(image.String()))
	}
	return image, nil
}

// isGoogleHost reports whether the host belongs to Artifact Registry, including the old names of Container Registry.
func isGoogleHost(host string) bool {
	return strings.HasSuffix(host, ".pkg.dev") || host == "gcr.io" || strings.HasSuffix(host, ".gcr.io")
}
