// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern.dev/postern/apis/postern"
)

var cloudEvents = Sender{
	Name: "cloudevents", Requests: RequestsImages, Expects: "specversion and type",
	Identity: true, OIDC: true, Token: true, QueryToken: true, SecretFlag: true,
	identifying: []string{"Ce-Specversion", "Ce-Id", "Ce-Type", "Ce-Source", "Ce-Subject", "Ce-Time"},
	// Ce-Source is a URI, which may contain user:password@host.
	kept:    []string{"Ce-Id", "Ce-Type", "Ce-Time"},
	namedBy: binaryCloudEvent(""),
	shape:   anyOf(isBatch, structuredCloudEvent("")),
	decode:  decodeCloudEvents,
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
	ArtifactType   string `json:"artifactType"`
	// Target and Request are in the data of Azure Event Grid:
	// https://learn.microsoft.com/azure/event-grid/event-schema-container-registry
	Target struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
		Digest     string `json:"digest"`
		MediaType  string `json:"mediaType"`
	} `json:"target"`
	Request struct {
		Host string `json:"host"`
	} `json:"request"`
}

func decodeCloudEvents(m message, out *Decoded) error {
	if !m.batch {
		return decodeCloudEvent(m, m, out)
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
		if err := decodeCloudEvent(m, item, out); err != nil {
			return err
		}
	}
	if len(batch) > 1 {
		out.DeliveryID = "" // each event has its own
	}
	return nil
}

// decodeCloudEvent decodes an event of a delivery.
func decodeCloudEvent(delivery, m message, out *Decoded) error {
	e, err := readCloudEvent(m)
	if err != nil {
		return err
	}
	out.DeliveryID = e.ID
	if strings.HasPrefix(e.Type, cdEventPrefix) {
		return decodeCDEvent(delivery, e, out)
	}
	if !isImagePushType(e.Type) {
		out.ignore(IgnoredEvent, "the CloudEvent %s is not known to announce a new image", quote(e.Type))
		return nil
	}
	return decodeImagePush(delivery, e, out)
}

// decodeImagePush decodes an event whose data are an imagePush.
func decodeImagePush(delivery message, e cloudEvent, out *Decoded) error {
	data, err := e.data()
	if err != nil {
		return err
	}
	p, err := decodeAs[imagePush](data)
	if err != nil {
		return err
	}
	image := p.image(e)
	image.Host, image.Repository, err = delivery.pullReference(registry{host: image.Host}, image.Repository)
	if err != nil {
		return err
	}
	if err := require("data.registryUrl, or source, or registry_url in the URL", image.Host,
		"data.repositoryName, or subject", image.Repository); err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: e.Type, DeliveryID: e.ID, Time: e.Time.microTime()}, image,
		cmp.Or(p.MediaType, p.Target.MediaType), p.ArtifactType)
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
		Host:       cmp.Or(host, p.Request.Host, ecrHostOfARN(e.Source, p.RegistryID), hostOfSource(e.Source)),
		Repository: cmp.Or(p.RepositoryName, p.Repository, p.Target.Repository, repository),
		Tag:        cmp.Or(p.ImageTag, p.Tag, p.Target.Tag, tag),
		Digest:     cmp.Or(p.ImageDigest, p.Digest, p.Target.Digest),
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

// isImagePushType reports whether an event type, such as com.amazon.ecr.image.push or ImagePushed, names an image and
// ends with an action that publishes one. Image Updater checks only the former, and so treats a deletion as a push.
func isImagePushType(eventType string) bool {
	words := wordsOf(eventType)
	isImage := func(word string) bool { return strings.Contains(word, "image") || strings.Contains(word, "container") }
	if !slices.ContainsFunc(words, isImage) || slices.Contains(words, "chart") {
		return false
	}
	if last := words[len(words)-1]; len(words) > 1 && strings.Trim(last, "v0123456789") == "" {
		words = words[:len(words)-1] // a version of the type
	}
	return slices.Contains([]string{
		"push", "pushed", "publish", "published", "create", "created", "update", "updated",
		"upload", "uploaded", "tagged",
	}, words[len(words)-1])
}

// wordsOf returns the words of a name in lower case. A capital letter after a small one begins a word.
func wordsOf(name string) []string {
	var spaced strings.Builder
	previous := ' '
	for _, r := range name {
		if unicode.IsUpper(r) && unicode.IsLower(previous) {
			spaced.WriteByte(' ')
		}
		spaced.WriteRune(unicode.ToLower(r))
		previous = r
	}
	return strings.FieldsFunc(spaced.String(), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// cloudEvent is the event envelope that several senders use, in any of its HTTP modes:
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
//
// The CloudEvents SDK is not used: its parser accepts duplicate names, and would parse the output of parseStrict again.
type cloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	Source      string    `json:"source"`
	Subject     string    `json:"subject"`
	Time        timestamp `json:"time"`
	Data        rawValue  `json:"data"`
	DataBase64  string    `json:"data_base64"`
}

const cloudEventMediaType = "application/cloudevents+json"

// readCloudEvent decodes the event of a message in structured or binary mode.
func readCloudEvent(m message) (cloudEvent, error) {
	read := decodeAs[cloudEvent]
	if m.header.Get("Ce-Type") != "" && !hasMediaType(m.header, cloudEventMediaType) {
		read = readBinary
	}
	e, err := read(m)
	switch {
	case err != nil:
		return e, err
	case !strings.HasPrefix(e.SpecVersion, "1."):
		return e, refuse(ErrorInvalidField, "specversion must be 1.0, not %s", quote(e.SpecVersion))
	case e.Type == "" || e.ID == "":
		return e, refuse(ErrorInvalidField, "a CloudEvent must have an id and a type")
	}
	if _, err := cleanID("the id of the CloudEvent", e.ID); err != nil {
		return e, err
	}
	_, err = cleanID("the type of the CloudEvent", e.Type)
	return e, err
}

func readBinary(m message) (e cloudEvent, err error) {
	attribute := func(name string) string {
		value, unescapeErr := url.PathUnescape(m.header.Get("Ce-" + name))
		if unescapeErr != nil || !utf8.ValidString(value) {
			err = refuse(ErrorInvalidField, "the header Ce-%s is not percent-encoded UTF-8", name)
		}
		return value
	}
	e = cloudEvent{
		SpecVersion: attribute("Specversion"),
		ID:          attribute("Id"),
		Type:        attribute("Type"),
		Source:      attribute("Source"),
		Subject:     attribute("Subject"),
		Data:        m.body,
	}
	if at := attribute("Time"); at != "" && e.Time.UnmarshalJSON(strconv.AppendQuoteToASCII(nil, at)) != nil {
		err = refuse(ErrorInvalidField, "the header Ce-Time must be an RFC 3339 time, not %s", quote(at))
	}
	return e, err
}

// data returns the event's data as a message. They must be a JSON object or missing.
func (e cloudEvent) data() (message, error) {
	text := []byte(e.Data)
	if e.DataBase64 != "" {
		decoded, err := base64.StdEncoding.DecodeString(e.DataBase64)
		if err != nil {
			return message{}, refuse(ErrorInvalidField, "data_base64 is not base64")
		}
		text = decoded
	}
	if len(text) == 0 {
		text = []byte("{}")
	}
	return innerMessage("the data of the CloudEvent", text)
}

// innerMessage parses a JSON object within a message under the same rules.
func innerMessage(place string, text []byte) (message, error) {
	obj, err := parseStrict(text)
	if err != nil {
		return message{}, refuse(ErrorMalformedBody, "%s %s", place, strings.TrimPrefix(err.Error(), "the body "))
	}
	return message{body: text, object: obj}, nil
}
