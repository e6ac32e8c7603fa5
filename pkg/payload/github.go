// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

var gitHub = Sender{
	Name: "github", Requests: RequestsGitRefs, Expects: "release.tag_name, or ref and after",
	Signatures:    []SignatureScheme{SignatureBody},
	identifying:   []string{"X-GitHub-Event", "X-GitHub-Delivery"},
	kept:          []string{"X-GitHub-Event", "X-GitHub-Delivery"},
	defaultBranch: [][]string{{"repository", "default_branch"}},
	family:        gitHubFamily,
	namedBy:       hasHeader("X-GitHub-Event"),
	shape:         allOf(anyEvent(gitHubEvents), not(gitea.shape), not(gitLab.shape)),
	decode:        decodeGitHub,
}

// gitHubFamily is the family of the sender types that use GitHub's webhooks.
const gitHubFamily = "github"

// gitHubEvents are the events that are detected without headers, because they were written by hand or sent by kubectl.
// Every event that names a ref is listed, so that it is not decoded as a request to deploy the ref.
var gitHubEvents = []eventShape{
	{"release", has("release", "tag_name")},
	{"cache_sync", hasAll("ref", "cache_location")}, // of a replica of GitHub Enterprise Server; it has "after" too
	{"push", allOf(hasAll("ref"), hasAny("after", "before", "deleted", "commits"))},
	{"create", hasAll("ref", "pusher_type", "master_branch")},
	{"delete", hasAll("ref", "pusher_type")},
	{"ping", hasAll("zen", "hook_id")},
	{"workflow_run", allOf(hasAll("action"), hasObject("workflow_run"),
		// Deployments have one too, and so has Gitea.
		not(anyOf(hasAny("deployment", "deployment_status"), has("sender", "username"))))},
	{"pull_request", hasAll("action", "number", "pull_request")}, // reviews and comments have no number
}

// gitHubEvent contains the used fields of GitHub's release and push events:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads
type gitHubEvent struct {
	Action  string `json:"action"`
	Release struct {
		TagName     string      `json:"tag_name"`
		Draft       bool        `json:"draft"`
		PublishedAt timestamp   `json:"published_at"` // of the first publication, possibly as a pre-release
		UpdatedAt   lenientTime `json:"updated_at"`   // not documented, and not always present
	} `json:"release"`
	Ref        string         `json:"ref"`
	Before     optionalString `json:"before"`
	After      string         `json:"after"`
	Deleted    bool           `json:"deleted"`
	Created    rawValue       `json:"created"`
	Forced     rawValue       `json:"forced"`
	Commits    rawValue       `json:"commits"`
	HeadCommit struct {
		ID string `json:"id"`
	} `json:"head_commit"`
	Repository struct {
		CloneURL string         `json:"clone_url"`
		SSHURL   optionalString `json:"ssh_url"`
		PushedAt timestamp      `json:"pushed_at"`
	} `json:"repository"`
}

func decodeGitHub(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID("X-GitHub-Delivery"); err != nil {
		return err
	}
	switch name := cmp.Or(m.header.Get("X-GitHub-Event"), eventByShape(m, gitHubEvents)); name {
	case "release":
		return decodeGitHubRelease(m, out)
	case "push":
		return decodeGitHubPush(m, out)
	case "workflow_run":
		return decodeGitHubWorkflowRun(m, out)
	case "create":
		out.ignore(IgnoredRefCreated, "a new branch or tag; GitHub also sends a push for it, and only the push counts")
	case "delete":
		out.ignore(IgnoredRefDeleted, "a branch or tag was deleted")
	case "ping":
		out.ignore(IgnoredPing, "GitHub tests the webhook")
	case "pull_request":
		decodeGitHubPullRequest(m, out)
	default:
		out.ignore(IgnoredEvent, "the event %s asks for no ref; send releases or pushes", quote(name))
	}
	return nil
}

// gitHubPullRequestActions are the actions that may change which pull requests an ApplicationSet finds, and what it
// knows of them: those to which Argo CD reacts, and a change of the title or the target branch.
var gitHubPullRequestActions = []string{
	"opened", "closed", "reopened", "synchronize", "labeled", "unlabeled", "edited",
}

func decodeGitHubPullRequest(m message, out *Decoded) {
	action := m.text("action")
	if !slices.Contains(gitHubPullRequestActions, action) {
		out.ignore(IgnoredAction, "a pull request was %s, which changes no ApplicationSet", quote(action))
		return
	}
	out.addPullRequest(m, "pull_request."+action, m.text("repository", "clone_url"), pullRequest{
		number: []string{"number"}, head: []string{"pull_request", "head", "sha"},
		sshURL: []string{"repository", "ssh_url"},
	})
}

// decodeGitHubRelease decodes releases that become public: "published", and "released", which also follows the
// promotion of a pre-release. A body without header and action is written by hand: {"release": {"tag_name": …}}.
func decodeGitHubRelease(m message, out *Decoded) error {
	p, err := decodeAs[gitHubEvent](m)
	if err != nil {
		return err
	}
	eventType := "release." + p.Action
	switch {
	case !m.has("action") && m.header.Get("X-GitHub-Event") == "":
		eventType = "release"
	case p.Action == "":
		return missing("action", "it says what happened to the release")
	case p.Action != "published" && p.Action != "released":
		out.ignore(IgnoredAction, "a release was %s; only published and released count", quote(p.Action))
		return nil
	}
	return out.addRelease(p.Release.Draft, field{"release.tag_name", p.Release.TagName}, postern.DeliveryEvent{
		Event:      eventType,
		Repository: p.Repository.CloneURL,
		SSHURL:     string(p.Repository.SSHURL),
		Time:       p.releaseTime(),
	})
}

// releaseTime returns the time of the event. A promoted pre-release keeps its original published_at, which would order
// it before all later releases. Therefore "released" has the time of the change if GitHub reports it, and otherwise
// none, whether it is a promotion or accompanies "published".
func (p gitHubEvent) releaseTime() *metav1.MicroTime {
	if p.Action == "released" {
		return p.Release.UpdatedAt.microTime()
	}
	return p.Release.PublishedAt.microTime()
}

func decodeGitHubPush(m message, out *Decoded) error {
	p, err := decodeAs[gitHubEvent](m)
	if err != nil {
		return err
	}
	pushed := pushedRef{
		ref: field{"ref", p.Ref}, after: field{"after", p.After}, deleted: p.Deleted,
		before: p.Before, commits: p.pushedCommits(),
	}
	return out.addPush(pushed, postern.DeliveryEvent{
		Event:      "push",
		Repository: p.Repository.CloneURL,
		SSHURL:     string(p.Repository.SSHURL),
		Revision:   commitIDOrEmpty(p.HeadCommit.ID),
		Time:       p.Repository.PushedAt.microTime(),
	})
}

// gitHubMaxCommits is the maximum of the commits that GitHub lists. It does not say how many a push has.
const gitHubMaxCommits = 2048

// pushedCommits returns the commits of a push to an existing branch. A forced push may also undo commits, which are not
// listed.
func (p gitHubEvent) pushedCommits() pushedCommits {
	if string(p.Created) != "false" || string(p.Forced) != "false" {
		return pushedCommits{}
	}
	c := pushedCommits{list: p.Commits}
	if c.total = c.count(); c.total >= gitHubMaxCommits {
		c.total++ // there may be more
	}
	return c
}
