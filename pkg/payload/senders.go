// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"slices"
	"strings"

	"postern.dev/postern/apis/postern"
)

// sender is a type of system that sends webhooks.
type sender struct {
	name string
	// expects briefly describes the body of this sender, for errors.
	expects string
	// sentBy reports whether the event headers name this sender; nil if the sender has no such headers.
	sentBy func(http.Header) bool
	// fits reports whether a message without event headers has the shape of this sender's messages. It must be false
	// for messages that decode would misread.
	fits func(message) bool
	// decode adds the events and ignored items of a message to the result. Decode validates and completes them.
	decode func(message, *Decoded) error
}

// senders is the table of sender types. It is read-only. Detection by header and by shape uses the first match, so a
// sender that also sends another sender's headers or shape comes first.
var senders = []sender{
	{"gitea", "sender.username, and release.tag_name or ref", withHeader(giteaHeaders...), fitsGitea, decodeGitea},
	{"gitlab", "object_kind, or event_name and project_id", withHeader("X-Gitlab-Event"), fitsGitLab, decodeGitLab},
	{"bitbucket", "push.changes", sentByBitbucketCloud, fitsBitbucketCloud, decodeBitbucketCloud},
	{"bitbucket-server", "eventKey", sentByBitbucketServer, fitsBitbucketServer, decodeBitbucketServer},
	{"azure-devops", "eventType and publisherId", nil, fitsAzureDevOps, decodeAzureDevOps},
	{sourceGHCR, "package.package_type", sentByGHCR, fitsGHCR, decodeGHCR},
	{"github", "release.tag_name, or ref and after", withHeader("X-GitHub-Event"), fitsGitHub, decodeGitHub},
	{"argocd", `app.metadata.annotations["git.ref"] or app.status.sync.revision`, nil, fitsArgoCD, decodeArgoCD},
	{"kargo", "freight.commits", nil, fitsKargo, decodeKargo},
	{sourceNexus, "repositoryName and component", withHeader("X-Nexus-Webhook-Id"), fitsNexus, decodeNexus},
	{sourceDistribution, "events with action and target", sentByDistribution, fitsDistribution, decodeDistribution},
	{sourceZot, "a CloudEvent of zotregistry", withCloudEventType(zotPrefix), fitsZot, decodeZot},
	{sourceHarbor, "type and event_data", withCloudEventType(harborPrefix), fitsHarbor, decodeHarbor},
	{sourceCloudEvents, "specversion and type", withCloudEventType(""), fitsCloudEvents, decodeCloudEvents},
	{sourceDockerHub, "push_data.tag and repository.repo_name", nil, fitsDockerHub, decodeDockerHub},
	{sourceAliyunACR, "push_data.tag and repository.repo_full_name", nil, fitsAliyunACR, decodeAliyunACR},
	{sourceQuay, "docker_url and homepage", nil, fitsQuay, decodeQuay},
	{sourceACR, "id, timestamp, action and target", nil, fitsACR, decodeACR},
	{sourceECR, "detail-type, detail and account", nil, fitsECR, decodeECR},
	{sourceGAR, "message.data and subscription", nil, fitsGAR, decodeGAR},
	{sourceJFrog, "domain, event_type and data", nil, fitsJFrog, decodeJFrog},
	{postern.SourceGeneric, "ref, and no field of a git host's event", nil, fitsGeneric, decodeGeneric},
}

// identifyingHeaders identify the sender, the content or the delivery. Headers that proxies add to any request, such as
// X-Request-Id, are not included.
var identifyingHeaders = []string{
	"X-GitHub-Event", "X-GitHub-Event-Type", "X-GitHub-Delivery",
	"X-Gitea-Event", "X-Gitea-Event-Type", "X-Gitea-Delivery",
	"X-Forgejo-Event", "X-Forgejo-Event-Type", "X-Forgejo-Delivery",
	"X-Gogs-Event", "X-Gogs-Event-Type", "X-Gogs-Delivery",
	"X-Gitlab-Event", "X-Gitlab-Event-UUID", "Webhook-Id", "Idempotency-Key",
	"X-Event-Key", "X-Request-UUID", "X-Hook-UUID",
	"X-Nexus-Webhook-Id", "X-Nexus-Webhook-Delivery",
	"Ce-Specversion", "Ce-Id", "Ce-Type", "Ce-Source", "Ce-Subject", "Ce-Time",
	"Content-Type",
}

// withHeader matches senders whose deliveries always have one of the headers.
func withHeader(names ...string) func(http.Header) bool {
	return func(h http.Header) bool {
		return slices.ContainsFunc(names, func(name string) bool { return h.Get(name) != "" })
	}
}

// Sources returns all sender types, sorted.
func Sources() []string {
	var names []string
	for _, s := range senders {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

// SourceFromHeader returns the sender type that the event headers name, or "". Decode uses it too, so a secret selected
// by it belongs to the sender whose rules are then applied.
func SourceFromHeader(h http.Header) string {
	for _, s := range senders {
		if s.sentBy != nil && s.sentBy(h) {
			return s.name
		}
	}
	return ""
}

func senderByName(name string) (sender, bool) {
	for _, s := range senders {
		if s.name == name {
			return s, true
		}
	}
	return sender{}, false
}

// senderByShape returns the first sender whose shape the body has.
func senderByShape(m message) (sender, error) {
	for _, s := range senders {
		if s.fits(m) {
			return s, nil
		}
	}
	return sender{}, refuse(ErrorUnrecognized,
		"the body matches no known sender: give the source, one of %s, for a more precise error; "+
			`to ask for a ref yourself, send {"ref": "main"}`,
		strings.Join(Sources(), ", "))
}

// Kinds of requests.
const (
	RequestsGitRefs = "GitRefs"
	RequestsImages  = "Images"
)

// Requests returns what a sender type requests: RequestsGitRefs or RequestsImages.
func Requests(source string) string {
	git := []string{
		"github", "gitlab", "gitea", "bitbucket", "bitbucket-server", "azure-devops", "argocd", "kargo", postern.SourceGeneric,
	}
	if slices.Contains(git, source) {
		return RequestsGitRefs
	}
	return RequestsImages
}

// maxSourceBytes is slightly more than the length of the longest sender type.
const maxSourceBytes = 20

// LooksLikeSource reports whether a text has the form of a sender type. Do not display other text of an unauthenticated
// caller: it may be a secret, or a type followed by a secret after a second "?" or an encoded "&".
func LooksLikeSource(text string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-'
	}
	return text != "" && len(text) <= maxSourceBytes && !strings.ContainsFunc(text, other)
}
