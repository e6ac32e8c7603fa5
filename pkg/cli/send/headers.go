// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package send

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// members are the top-level members of a body in JSON.
type members map[string]json.RawMessage

func (m members) has(names ...string) bool {
	for _, name := range names {
		if _, found := m[name]; !found {
			return false
		}
	}
	return true
}

func (m members) hasAny(names ...string) bool {
	for _, name := range names {
		if m.has(name) {
			return true
		}
	}
	return false
}

func (m members) text(name string) string {
	var text string
	if json.Unmarshal(m[name], &text) != nil {
		return ""
	}
	return text
}

// Types of bodies.
const (
	typeJSON       = "application/json"
	typeForm       = "application/x-www-form-urlencoded"
	typeEvent      = "application/cloudevents+json"
	typeEventBatch = "application/cloudevents-batch+json"
	// https://distribution.github.io/distribution/about/notifications/
	typeDistribution = "application/vnd.docker.distribution.events.v2+json"
)

// readMembers returns the members of a body, and its type. A form has its JSON in the field payload.
func readMembers(body []byte) (m members, contentType string) {
	if form, isForm := strings.CutPrefix(string(body), "payload="); isForm {
		if text, err := url.QueryUnescape(form); err == nil {
			_ = json.Unmarshal([]byte(text), &m) // without members nothing is known of it
			return m, typeForm
		}
	}
	_ = json.Unmarshal(body, &m)
	switch trimmed := strings.TrimSpace(string(body)); {
	case m.has("specversion"):
		return m, typeEvent
	case strings.HasPrefix(trimmed, "["):
		return m, typeEventBatch
	default:
		return m, typeJSON
	}
}

// headersOf returns the headers with which a type of sender sends a body, besides its credentials. The event is found
// from the body; if it is not known, no header names it.
func headersOf(source string, body []byte, id string, now time.Time) http.Header {
	m, contentType := readMembers(body)
	pairs := []string{"Content-Type", contentType}
	switch source {
	case "github":
		pairs = append(pairs, "X-GitHub-Event", gitHubEvent(m), "X-GitHub-Delivery", id)
	case "generic", "kargo", "argocd":
		pairs = append(pairs, "Idempotency-Key", id)
	case "ghcr.io":
		pairs = append(pairs, "X-GitHub-Event", ghcrEvent(m), "X-GitHub-Delivery", id)
	case "gitea":
		pairs = append(pairs, "X-Gitea-Event", giteaEvent(m), "X-Gitea-Delivery", id)
	case "gitea-packages":
		pairs = append(pairs, "X-Gitea-Event", "package", "X-GitHub-Event", "package", "X-Gitea-Delivery", id)
	case "gitlab":
		pairs = append(pairs, "X-Gitlab-Event", gitLabEvent(m), "X-Gitlab-Event-UUID", id)
	case "bitbucket":
		pairs = append(pairs, "X-Event-Key", bitbucketEvent(m), "X-Request-UUID", id)
	case "bitbucket-server":
		pairs = append(pairs, "X-Event-Key", bitbucketServerEvent(m), "X-Request-Id", id)
	case "nexus":
		pairs = append(pairs, "X-Nexus-Webhook-Id", nexusEvent(m), "X-Nexus-Webhook-Delivery", id)
	case "distribution":
		pairs = []string{"Content-Type", typeDistribution}
	case "zot":
		if contentType == typeJSON { // zot sends binary CloudEvents
			pairs = append(pairs, "Ce-Specversion", "1.0", "Ce-Id", id, "Ce-Type", "zotregistry.image.updated",
				"Ce-Source", "zotregistry.dev", "Ce-Time", now.UTC().Format(time.RFC3339))
		}
	case "gar":
		if !m.has("message") { // unwrapped, with metadata
			pairs = append(pairs, "X-Goog-Pubsub-Message-Id", id,
				"X-Goog-Pubsub-Publish-Time", now.UTC().Format(time.RFC3339))
		}
	}
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			h.Set(pairs[i], pairs[i+1])
		}
	}
	return h
}

// gitHubEvent returns the event of a body of GitHub:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads
func gitHubEvent(m members) string {
	switch {
	case m.has("release"):
		return "release"
	case m.has("zen", "hook_id"):
		return "ping"
	case m.has("ref") && m.hasAny("after", "before", "commits"):
		return "push"
	case m.has("ref", "master_branch"):
		return "create"
	case m.has("ref", "ref_type"):
		return "delete"
	case m.has("workflow_run"):
		return "workflow_run"
	case m.has("number", "pull_request"):
		return "pull_request"
	default:
		return ""
	}
}

func ghcrEvent(m members) string {
	if m.has("registry_package") {
		return "registry_package"
	}
	return "package"
}

// giteaEvent returns the event of a body of Gitea, Forgejo or Gogs.
func giteaEvent(m members) string {
	switch {
	case m.has("release"):
		return "release"
	case m.has("ref") && m.hasAny("after", "before", "commits"):
		return "push"
	case m.has("ref", "ref_type", "sha"):
		return "create"
	case m.has("ref", "ref_type"):
		return "delete"
	case m.has("number", "pull_request"):
		return "pull_request"
	default:
		return ""
	}
}

// gitLabHooks are the values of X-Gitlab-Event by object_kind:
// https://docs.gitlab.com/user/project/integrations/webhook_events/
var gitLabHooks = map[string]string{
	"push": "Push Hook", "tag_push": "Tag Push Hook", "release": "Release Hook", "merge_request": "Merge Request Hook",
	"issue": "Issue Hook", "note": "Note Hook", "pipeline": "Pipeline Hook", "build": "Job Hook",
	"wiki_page": "Wiki Page Hook", "deployment": "Deployment Hook",
}

func gitLabEvent(m members) string {
	if hook := gitLabHooks[m.text("object_kind")]; hook != "" {
		return hook
	}
	if m.has("event_name") {
		return "System Hook"
	}
	return ""
}

func bitbucketEvent(m members) string {
	switch {
	case m.has("push"):
		return "repo:push"
	case m.has("pullrequest") && !m.hasAny("approval", "changes_request", "comment"):
		return bitbucketPullRequestEvent(m["pullrequest"])
	default:
		return ""
	}
}

// bitbucketPullRequestEvent returns the event of a pull request by its state. An open one may also be new.
func bitbucketPullRequestEvent(body json.RawMessage) string {
	var p struct {
		State string `json:"state"`
	}
	_ = json.Unmarshal(body, &p)
	switch p.State {
	case "MERGED":
		return "pullrequest:fulfilled"
	case "DECLINED":
		return "pullrequest:rejected"
	default:
		return "pullrequest:updated"
	}
}

func bitbucketServerEvent(m members) string {
	if m.has("changes") {
		return "repo:refs_changed"
	}
	return m.text("eventKey")
}

func nexusEvent(m members) string {
	switch {
	case m.has("component"):
		return "rm:repository:component"
	case m.has("asset"):
		return "rm:repository:asset"
	default:
		return ""
	}
}
