// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"slices"

	"postern.dev/postern/apis/postern"
)

var gitea = Sender{
	Name: "gitea", Requests: RequestsGitRefs, Expects: "sender.username, and release.tag_name or ref",
	Identity: true, Signatures: []SignatureScheme{SignatureBody},
	identifying: giteaHeaders,
	kept: []string{
		"X-Gitea-Event", "X-Gitea-Event-Type", "X-Gitea-Delivery",
		"X-Forgejo-Event", "X-Forgejo-Event-Type", "X-Forgejo-Delivery",
		"X-Gogs-Event", "X-Gogs-Delivery",
	},
	defaultBranch: [][]string{{"repository", "default_branch"}},
	family:        giteaFamily,
	namedBy:       hasAnyHeader(giteaHeaders...),
	// GitHub's sender has a "login" only.
	shape:  allOf(has("sender", "username"), anyEvent(giteaEvents)),
	decode: decodeGitea,
}

// giteaEvent contains the used fields of push, create and release events of Gitea, Forgejo and Gogs:
// https://docs.gitea.com/usage/webhooks, https://forgejo.org/docs/latest/user/webhooks/, and modules/structs/hook.go in
// the sources of Gitea and Forgejo.
//
// They do not report the time of the event: repository.updated_at is from before the push, and release.published_at may
// be the date of the tag, which its author controls.
type giteaEvent struct {
	Action  string `json:"action"`
	Release struct {
		TagName string `json:"tag_name"`
		Draft   bool   `json:"draft"`
	} `json:"release"`
	Ref          string   `json:"ref"`
	RefType      string   `json:"ref_type"`
	SHA          string   `json:"sha"`
	Before       string   `json:"before"`
	After        string   `json:"after"`
	Commits      rawValue `json:"commits"`       // by default at most 5
	TotalCommits rawValue `json:"total_commits"` // not of Gogs
	HeadCommit   struct {
		ID string `json:"id"`
	} `json:"head_commit"`
	Repository struct {
		CloneURL string         `json:"clone_url"`
		SSHURL   optionalString `json:"ssh_url"`
	} `json:"repository"`
}

// giteaHeaders distinguish the three from GitHub, whose headers they also send (services/webhook/deliver.go; in Gogs,
// internal/database/webhook.go). A single header is not enough: Gitea leaves X-Gitea-Event empty for some events.
// GitHub does not send X-GitHub-Event-Type.
var giteaHeaders = []string{
	"X-Gitea-Event", "X-Gitea-Event-Type", "X-Gitea-Delivery",
	"X-Forgejo-Event", "X-Forgejo-Event-Type", "X-Forgejo-Delivery",
	"X-Gogs-Event", "X-Gogs-Event-Type", "X-Gogs-Delivery",
	"X-GitHub-Event-Type",
}

// giteaDeliveryHeaders and giteaEventHeaders have the id of the delivery and the name of the event, best first.
var (
	giteaDeliveryHeaders = []string{"X-Gitea-Delivery", "X-Forgejo-Delivery", "X-Gogs-Delivery", "X-GitHub-Delivery"}
	giteaEventHeaders    = []string{
		"X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event", "X-GitHub-Event",
		"X-Gitea-Event-Type", "X-Forgejo-Event-Type", "X-Gogs-Event-Type", "X-GitHub-Event-Type",
	}
)

// giteaEvents are the events that are detected without headers.
var giteaEvents = []eventShape{
	{"release", has("release", "tag_name")},
	{"push", allOf(hasAll("ref"), hasAny("after", "before", "commits"))},
	{"create", hasAll("ref", "ref_type", "sha")},
	{"delete", hasAll("ref", "ref_type")},
	{"pull_request", hasAll("action", "number", "pull_request")},
}

func decodeGitea(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID(giteaDeliveryHeaders...); err != nil {
		return err
	}
	_, name := firstHeader(m.header, giteaEventHeaders...)
	switch name = cmp.Or(name, eventByShape(m, giteaEvents)); name {
	case "push":
		return decodeGiteaPush(m, out)
	case "create":
		return decodeGiteaCreate(m, out)
	case "release":
		return decodeGiteaRelease(m, out)
	case "delete":
		out.ignore(IgnoredRefDeleted, "a branch or tag was deleted")
	case "pull_request":
		decodeGiteaPullRequest(m, out)
	default:
		out.ignore(IgnoredEvent, "the event %s asks for no ref; send releases or pushes", quote(name))
	}
	return nil
}

// giteaPullRequestActions are to Gitea, Forgejo and Gogs what gitHubPullRequestActions are to GitHub.
var giteaPullRequestActions = []string{
	"opened", "closed", "reopened", "synchronized", "label_updated", "label_cleared", "edited",
}

func decodeGiteaPullRequest(m message, out *Decoded) {
	action := m.text("action")
	if !slices.Contains(giteaPullRequestActions, action) {
		out.ignore(IgnoredAction, "a pull request was %s, which changes no ApplicationSet", quote(action))
		return
	}
	out.addPullRequest(m, "pull_request."+action, m.text("repository", "clone_url"), pullRequest{
		number: []string{"number"}, head: []string{"pull_request", "head", "sha"},
		sshURL: []string{"repository", "ssh_url"},
	})
}

// decodeGiteaPush decodes pushes to branches and tags except deletions. The test button of a webhook sends a push that
// does not move the default branch.
func decodeGiteaPush(m message, out *Decoded) error {
	p, err := decodeAs[giteaEvent](m)
	if err != nil {
		return err
	}
	if p.Before != "" && p.Before == p.After {
		out.ignore(IgnoredPing, "the push moves no ref: it tests the webhook")
		return nil
	}
	pushed := pushedRef{
		ref: field{"ref", p.Ref}, after: field{"after", p.After}, before: optionalString(p.Before),
		commits: pushedCommits{list: p.Commits, total: totalOf(p.TotalCommits)},
	}
	return out.addPush(pushed, postern.DeliveryEvent{
		Event:      "push",
		Repository: p.Repository.CloneURL,
		SSHURL:     string(p.Repository.SSHURL),
		Revision:   commitIDOrEmpty(p.HeadCommit.ID),
	})
}

// decodeGiteaCreate decodes new tags of Gogs, which sends no push for them. Only Gogs includes the default branch here.
func decodeGiteaCreate(m message, out *Decoded) error {
	p, err := decodeAs[giteaEvent](m)
	switch {
	case err != nil:
		return err
	case p.RefType != "tag" || !m.has("default_branch"):
		out.ignore(IgnoredRefCreated, "a new branch or tag; a push is also sent for it, and only the push counts")
		return nil
	case p.Ref == "":
		return missing("ref", "it names the new tag")
	}
	pushed := pushedRef{ref: field{"ref", "refs/tags/" + p.Ref}, after: field{"sha", p.SHA}}
	return out.addPush(pushed, postern.DeliveryEvent{
		Event: "create", Repository: p.Repository.CloneURL, SSHURL: string(p.Repository.SSHURL),
	})
}

// decodeGiteaRelease decodes published releases. "updated" is sent for later edits, and for publishing a draft whose
// tag already exists; that tag has been pushed before.
func decodeGiteaRelease(m message, out *Decoded) error {
	p, err := decodeAs[giteaEvent](m)
	switch {
	case err != nil:
		return err
	case p.Action == "":
		return missing("action", "it says what happened to the release")
	case p.Action != "published":
		out.ignore(IgnoredAction, "a release was %s; only published counts", quote(p.Action))
		return nil
	}
	return out.addRelease(p.Release.Draft, field{"release.tag_name", p.Release.TagName}, postern.DeliveryEvent{
		Event: "release.published", Repository: p.Repository.CloneURL, SSHURL: string(p.Repository.SSHURL),
	})
}
