// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"fmt"
	"time"
)

// gitLabKind says what a body tells. What only system hooks send has no object_kind:
// https://docs.gitlab.com/administration/system_hooks/
type gitLabKind struct {
	ObjectKind string `json:"object_kind"`
	EventName  string `json:"event_name"`
}

type gitLabProject struct {
	GitHTTPURL string `json:"git_http_url"`
}

// gitLabPush is the part that is read of push and tag push events, which don't tell when they happened:
// https://docs.gitlab.com/user/project/integrations/webhook_events/
type gitLabPush struct {
	Ref         string        `json:"ref"`
	After       string        `json:"after"`
	CheckoutSHA string        `json:"checkout_sha"` // the commit, even of an annotated tag; null when the ref is gone
	Project     gitLabProject `json:"project"`
}

// gitLabRepositoryUpdate is the event of a system hook that tells all refs of one push at once.
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
	ReleasedAt lenientTime   `json:"released_at"` // whatever its author wants
	Project    gitLabProject `json:"project"`
}

const (
	// gitLabSampleRepository is in the push that an administrator sends to test a system hook (SAMPLE_DATA in GitLab's
	// lib/gitlab/data_builder/push.rb). Other hooks are tested with a true project and can't be told from a push to it.
	gitLabSampleRepository = "http://test.example.com/gitlab/gitlab.git"

	// gitLabUpcoming is how far ahead of its making a release must be dated to be an announcement. The clock of a browser
	// may be ahead too.
	gitLabUpcoming = time.Hour
)

func fitsGitLab(m message) bool {
	return m.has("object_kind") || m.has("event_name") && m.has("project_id")
}

// gitLabEventName goes by the body, which may be signed. Only a body that a custom template left without a kind is what
// the header says.
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
	default:
		return header, nil
	}
}

func decodeGitLab(m message, out *Decoded) (err error) {
	// The first two are the same, but only the first is signed. GitLab before 17.4 has neither.
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
	}
	out.ignore(IgnoredEvent, "the event %s asks for no ref; send releases, pushes or tag pushes", quote(name))
	return nil
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
	pushed := pushedRef{ref: field{"ref", p.Ref}, after: field{"after", p.After}}
	return out.addPush(pushed, Event{
		Type:       eventType,
		Repository: p.Project.GitHTTPURL,
		Revision:   commitIDOrEmpty(p.CheckoutSHA),
	})
}

// decodeGitLabRepositoryUpdate acts on each change. A hook that also sends pushes says the same twice, which does no harm.
func decodeGitLabRepositoryUpdate(m message, out *Decoded) error {
	p, err := decodeAs[gitLabRepositoryUpdate](m)
	switch {
	case err != nil:
		return err
	case !m.has("project"):
		out.ignore(IgnoredPing, "GitLab tests the system hook: there is no project")
		return nil
	case p.Changes == nil:
		return missing("changes", "they are what was pushed")
	case len(p.Changes) == 0:
		out.ignore(IgnoredNothingPushed, "the push moved no ref")
		return nil
	}
	for i, change := range p.Changes {
		path := fmt.Sprintf("changes[%d].", i)
		pushed := pushedRef{ref: field{path + "ref", change.Ref}, after: field{path + "after", change.After}}
		if err := out.addPush(pushed, Event{Type: "repository_update", Repository: p.Project.GitHTTPURL}); err != nil {
			return err
		}
	}
	return nil
}

// decodeGitLabRelease acts when a release is created. An update changes its notes, links or dates, but never its tag: to
// act on it would deploy an old release again when somebody corrects its notes.
func decodeGitLabRelease(m message, out *Decoded) error {
	p, err := decodeAs[gitLabRelease](m)
	created, released := p.CreatedAt.time, p.ReleasedAt.time
	switch {
	case err != nil:
		return err
	case p.Action == "":
		return missing("action", "it says what became of the release")
	case p.Action != "create":
		out.ignore(IgnoredAction, "%s was done to a release; only create counts", quote(p.Action))
		return nil
	case p.Tag == "":
		return missing("tag", "it is the ref that the release asks for")
	case !created.IsZero() && released.Sub(created) > gitLabUpcoming:
		out.ignore(IgnoredDraft, "the release is announced for %s; GitLab does not tell when that time has come",
			released.Format(time.RFC3339))
		return nil
	}
	out.add(Event{
		Type:       "release.create",
		Ref:        p.Tag,
		RefType:    RefTypeTag,
		Repository: p.Project.GitHTTPURL,
		Revision:   commitIDOrEmpty(p.Commit.ID),
		Time:       created,
	})
	return nil
}
