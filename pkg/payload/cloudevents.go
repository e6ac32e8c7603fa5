// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"postern.dev/postern/apis/postern"
)

var cloudEvents = Sender{
	Name:        "cloudevents",
	Requests:    RequestsImages,
	Expects:     "specversion and type",
	Identity:    true,
	Token:       true,
	QueryToken:  true,
	SecretFlag:  true,
	identifying: []string{"Ce-Specversion", "Ce-Id", "Ce-Type", "Ce-Source", "Ce-Subject", "Ce-Time"},
	// Ce-Source is a URI, which may contain user:password@host.
	kept:   []string{"Ce-Id", "Ce-Type", "Ce-Time"},
	sentBy: withCloudEventType(""),
	fits:   fitsCloudEvents,
	decode: decodeCloudEvents,
}

// imagePush is the data of a CloudEvent about an image, with all names that Argo CD Image Updater's receiver accepts.
// Its documentation makes AWS EventBridge convert ECR events to the first name of each pair:
// https://argocd-image-updater.readthedocs.io/en/stable/configuration/webhook/#aws-ecr-via-eventbridge-cloudevents
//
// The credential depends on the sender: a ServiceAccount token as Authorization; the secret as X-Webhook-Secret, as
// EventBridge can send; or ?secret= for senders that cannot set headers. CloudEvents have no signature.
type imagePush struct {
	RepositoryName string `json:"repositoryName"`
	Repository     string `json:"repository"`
	ImageTag       string `json:"imageTag"`
	Tag            string `json:"tag"`
	ImageDigest    string `json:"imageDigest"`
	Digest         string `json:"digest"`
	RegistryURL    string `json:"registryUrl"`
	Registry       string `json:"registry"`
	RegistryID     string `json:"registryId"`
	MediaType      string `json:"mediaType"`
}

func fitsCloudEvents(m message) bool {
	return m.batch || isStructuredCloudEvent(m, "")
}

func decodeCloudEvents(m message, out *Decoded) error {
	if !m.batch {
		return decodeImagePush(m, out)
	}
	batch, err := decodeAs[list[rawValue]](m)
	if err != nil {
		return err
	}
	if len(batch) == 0 {
		out.ignore(IgnoredEvent, "the batch of CloudEvents is empty")
	}
	for _, text := range batch {
		item, err := innerMessage("an item of the batch", text)
		if err != nil {
			return err
		}
		if err := decodeImagePush(item, out); err != nil {
			return err
		}
	}
	if len(batch) > 1 {
		out.DeliveryID = "" // each event has its own
	}
	return nil
}

func decodeImagePush(m message, out *Decoded) error {
	e, err := readCloudEvent(m)
	if err != nil {
		return err
	}
	out.DeliveryID = e.ID
	if !isImagePushType(e.Type) {
		out.ignore(IgnoredEvent, "the CloudEvent %s is not known to announce a new image", quote(e.Type))
		return nil
	}
	data, err := e.data()
	if err != nil {
		return err
	}
	p, err := decodeAs[imagePush](data)
	if err != nil {
		return err
	}
	image := p.image(e)
	if err := require("data.registryUrl, or source", image.Host, "data.repositoryName, or subject",
		image.Repository); err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: e.Type, DeliveryID: e.ID, Time: e.Time.microTime()}, image, p.MediaType)
	return nil
}

// image combines the fields of the data with the envelope as default: the subject is "repository:tag".
func (p imagePush) image(e cloudEvent) postern.ImageReference {
	repository, tag := e.Subject, ""
	if colon := strings.LastIndexByte(e.Subject, ':'); colon > strings.LastIndexByte(e.Subject, '/') {
		repository, tag = e.Subject[:colon], e.Subject[colon+1:]
	}
	host, _ := splitAddress(cmp.Or(p.RegistryURL, p.Registry))
	return postern.ImageReference{
		Host:       cmp.Or(host, ecrHostOfARN(e.Source, p.RegistryID), hostOfSource(e.Source)),
		Repository: cmp.Or(p.RepositoryName, p.Repository, repository),
		Tag:        cmp.Or(p.ImageTag, p.Tag, tag),
		Digest:     cmp.Or(p.ImageDigest, p.Digest),
	}
}

// hostOfSource returns the host of a source that is a URL or begins with a host name, or "".
func hostOfSource(source string) string {
	host, _ := splitAddress(source)
	if !strings.Contains(host, ".") {
		return ""
	}
	return host
}

// isImagePushType reports whether an event type, such as com.amazon.ecr.image.push, names an image and ends with an
// action that publishes one. Image Updater checks only the former, and so treats a deletion as a push.
func isImagePushType(eventType string) bool {
	eventType = strings.ToLower(eventType)
	if !strings.Contains(eventType, "image") && !strings.Contains(eventType, "container") {
		return false
	}
	words := strings.FieldsFunc(eventType, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if last := words[len(words)-1]; len(words) > 1 && strings.Trim(last, "v0123456789") == "" {
		words = words[:len(words)-1] // a version of the type
	}
	return slices.Contains([]string{
		"push", "pushed", "publish", "published", "create", "created", "update", "updated",
		"upload", "uploaded", "tagged",
	}, words[len(words)-1])
}
