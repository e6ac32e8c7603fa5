// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"slices"
	"time"

	"postern.dev/postern/apis/postern"
)

var gitLab = Sender{
	Name: "gitlab", Requests: RequestsGitRefs, Expects: "object_kind, or event_name and project_id",
	Identity: true,
	// GitLab signs by a signing token alone. A proxy or relay may sign the body.
	Signatures:  []SignatureScheme{SignatureBody, SignatureSigningToken},
	Token:       true,
	identifying: []string{"X-Gitlab-Event", "X-Gitlab-Event-UUID", "Webhook-Id", "Idempotency-Key"},
	kept: []string{
		"X-Gitlab-Event", "X-Gitlab-Event-UUID", "Webhook-Id", "Webhook-Timestamp", "Idempotency-Key",
	},
	defaultBranch: [][]string{{"project", "default_branch"}},
	namedBy:       hasHeader("X-Gitlab-Event"),
	shape:         anyOf(hasAll("object_kind"), hasAll("event_name", "project_id")),
	decode:        decodeGitLab,
}

// gitLabKind identifies the event of a body. Events that only system hooks send have no object_kind:
// https://docs.gitlab.com/administration/system_hooks/
type gitLabKind struct {
	ObjectKind string `json:"object_kind"`
	EventName  string `json:"event_name"`
}

type gitLabProject struct {
	GitHTTPURL string         `json:"git_http_url"`
	GitSSHURL  optionalString `json:"git_ssh_url"`
}

// gitLabPush contains the used fields of push and tag push events. They have no time:
// https://docs.gitlab.com/user/project/integrations/webhook_events/
type gitLabPush struct {
	Ref          string         `json:"ref"`
	Before       optionalString `json:"before"`
	After        string         `json:"after"`
	CheckoutSHA  string         `json:"checkout_sha"` // the commit, also of annotated tags; null if deleted
	Commits      rawValue       `json:"commits"`      // at most 20
	TotalCommits rawValue       `json:"total_commits_count"`
	Project      gitLabProject  `json:"project"`
}

// gitLabRepositoryUpdate is a system hook event with all refs of one push.
type gitLabRepositoryUpdate struct {
	Changes list[gitLabChange] `json:"changes"`
	Project gitLabProject      `json:"project"`
}

type gitLabChange struct {
	Ref   string `json:"ref"`
	After string `json:"after"`
}

type gitLabRelease struct {
	Action string `json:"action"`
	Tag    string `json:"tag"`
	Commit struct {
		ID string `json:"id"`
	} `json:"commit"`
	CreatedAt  lenientTime   `json:"created_at"`
	ReleasedAt lenientTime   `json:"released_at"` // chosen by the author
	Project    gitLabProject `json:"project"`
}

const (
	// gitLabSampleRepository is the repository in the push that tests a system hook (SAMPLE_DATA in GitLab's
	// lib/gitlab/data_builder/push.rb). Tests of other hooks use a real project and look like a push.
	gitLabSampleRepository = "http://test.example.com/gitlab/gitlab.git"

	// gitLabUpcoming is how far a release date must be after the creation for an upcoming release. It allows for
	// browser clocks that are ahead.
	gitLabUpcoming = time.Hour
)

// gitLabEventName prefers the body, which may be signed. The header is used only if a custom template omits the kind.
func gitLabEventName(m message) (string, error) {
	kind, err := decodeAs[gitLabKind](m)
	if name := cmp.Or(kind.ObjectKind, kind.EventName); err != nil || name != "" {
		return name, err
	}
	switch header := m.header.Get("X-Gitlab-Event"); header {
	case "Push Hook":
		return "push", nil
	case "Tag Push Hook":
		return "tag_push", nil
	case "Release Hook":
		return "release", nil
	case "Merge Request Hook":
		return "merge_request", nil
	default:
		return header, nil
	}
}

func decodeGitLab(m message, out *Decoded) (err error) {
	// The first two have the same value, but only the first is signed. GitLab before 17.4 has neither.
	if out.DeliveryID, err = m.deliveryID("Webhook-Id", "Idempotency-Key", "X-Gitlab-Event-UUID"); err != nil {
		return err
	}
	name, err := gitLabEventName(m)
	if err != nil {
		return err
	}
	switch name {
	case "push", "tag_push":
		return decodeGitLabPush(m, name, out)
	case "repository_update":
		return decodeGitLabRepositoryUpdate(m, out)
	case "release":
		return decodeGitLabRelease(m, out)
	case "pipeline":
		return decodeGitLabPipeline(m, out)
	case "merge_request":
		decodeGitLabMergeRequest(m, out)
		return nil
	}
	out.ignore(IgnoredEvent, "the event %s asks for no ref; send releases, pushes or tag pushes", quote(name))
	return nil
}

// gitLabMergeRequestActions are to GitLab what gitHubPullRequestActions are to GitHub. An update may be of anything.
var gitLabMergeRequestActions = []string{"open", "close", "reopen", "update", "merge"}

// decodeGitLabMergeRequest decodes merge requests. ApplicationSets usually name a project by its number.
func decodeGitLabMergeRequest(m message, out *Decoded) {
	action := m.text("object_attributes", "action")
	if !slices.Contains(gitLabMergeRequestActions, action) {
		out.ignore(IgnoredAction, "a merge request has the action %s, which changes no ApplicationSet", quote(action))
		return
	}
	out.addPullRequest(m, "merge_request."+action, m.text("project", "git_http_url"), pullRequest{
		number: []string{"object_attributes", "iid"}, head: []string{"object_attributes", "last_commit", "id"},
		sshURL: []string{"project", "git_ssh_url"}, repositoryID: []string{"object_attributes", "target_project_id"},
	})
}

func decodeGitLabPush(m message, eventType string, out *Decoded) error {
	p, err := decodeAs[gitLabPush](m)
	if err != nil {
		return err
	}
	if p.Project.GitHTTPURL == gitLabSampleRepository {
		out.ignore(IgnoredPing, "GitLab tests the system hook")
		return nil
	}
	pushed := pushedRef{
		ref: field{"ref", p.Ref}, after: field{"after", p.After}, before: p.Before,
		// Source: repo_changes in GitLab's app/models/commit.rb.
		commits: pushedCommits{list: p.Commits, total: totalOf(p.TotalCommits), hidesRenames: true},
	}
	return out.addPush(pushed, postern.DeliveryEvent{
		Event:      eventType,
		Repository: p.Project.GitHTTPURL,
		SSHURL:     string(p.Project.GitSSHURL),
		Revision:   commitIDOrEmpty(p.CheckoutSHA),
	})
}

// decodeGitLabRepositoryUpdate decodes all changes. A hook that also sends pushes reports them twice, which is
// harmless.
func decodeGitLabRepositoryUpdate(m message, out *Decoded) error {
	p, err := decodeAs[gitLabRepositoryUpdate](m)
	switch {
	case err != nil:
		return err
	case !m.has("project"):
		out.ignore(IgnoredPing, "GitLab tests the system hook: there is no project")
		return nil
	}
	return eachRef(out, "changes", p.Changes, func(path string, change gitLabChange) error {
		pushed := pushedRef{ref: field{path + "ref", change.Ref}, after: field{path + "after", change.After}}
		return out.addPush(pushed, postern.DeliveryEvent{
			Event: "repository_update", Repository: p.Project.GitHTTPURL, SSHURL: string(p.Project.GitSSHURL),
		})
	})
}

// decodeGitLabRelease decodes created releases. An update changes notes, links or dates, but never the tag. Acting on
// updates would deploy an old release again when its notes are corrected.
func decodeGitLabRelease(m message, out *Decoded) error {
	p, err := decodeAs[gitLabRelease](m)
	created, released := p.CreatedAt.time, p.ReleasedAt.time
	switch {
	case err != nil:
		return err
	case p.Action == "":
		return missing("action", "it says what happened to the release")
	case p.Action != "create":
		out.ignore(IgnoredAction, "a release has the action %s; only create counts", quote(p.Action))
		return nil
	case p.Tag == "":
		return missing("tag", "it names the tag of the release")
	case !created.IsZero() && released.Sub(created) > gitLabUpcoming:
		out.ignore(IgnoredDraft, "the release is announced for %s; GitLab sends no event at that time",
			released.Format(time.RFC3339))
		return nil
	}
	out.addRef(postern.DeliveryEvent{
		Event:      "release.create",
		Ref:        p.Tag,
		RefType:    postern.RefTypeTag,
		Repository: p.Project.GitHTTPURL,
		SSHURL:     string(p.Project.GitSSHURL),
		Revision:   commitIDOrEmpty(p.Commit.ID),
		Time:       p.CreatedAt.microTime(),
	})
	return nil
}
