// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "time"

// gitHubEvent is the part that is read of GitHub's release and push events:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads
type gitHubEvent struct {
	Action  string `json:"action"`
	Release struct {
		TagName     string      `json:"tag_name"`
		Draft       bool        `json:"draft"`
		PublishedAt timestamp   `json:"published_at"` // for the first time, as a pre-release maybe
		UpdatedAt   lenientTime `json:"updated_at"`   // not documented, and not always there
	} `json:"release"`
	Ref        string `json:"ref"`
	After      string `json:"after"`
	Deleted    bool   `json:"deleted"`
	HeadCommit struct {
		ID string `json:"id"`
	} `json:"head_commit"`
	Repository struct {
		CloneURL string    `json:"clone_url"`
		PushedAt timestamp `json:"pushed_at"`
	} `json:"repository"`
}

// fitsGitHub says no to those who have GitHub's fields and others of their own.
func fitsGitHub(m message) bool {
	return gitHubEventName(m) != "" && !fitsGitea(m) && !fitsGitLab(m)
}

// gitHubEventName returns the name of the event from the header. What was sent by hand, or by kubectl, which sets no
// headers, is known by its shape: each event that names a ref has one, so that none passes for a request to deploy it.
func gitHubEventName(m message) string {
	if name := m.header.Get("X-GitHub-Event"); name != "" {
		return name
	}
	switch {
	case m.has("release", "tag_name"):
		return "release"
	case m.has("ref") && m.hasAny("after", "before", "deleted", "commits"):
		return "push"
	case m.has("ref") && m.has("pusher_type") && m.has("master_branch"):
		return "create"
	case m.has("ref") && m.has("pusher_type"):
		return "delete"
	case m.has("zen") && m.has("hook_id"):
		return "ping"
	}
	return ""
}

func decodeGitHub(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID("X-GitHub-Delivery"); err != nil {
		return err
	}
	switch name := gitHubEventName(m); name {
	case "release":
		return decodeGitHubRelease(m, out)
	case "push":
		return decodeGitHubPush(m, out)
	case "create":
		out.ignore(IgnoredRefCreated, "a new branch or tag; GitHub sends a push for it too, and that one counts")
	case "delete":
		out.ignore(IgnoredRefDeleted, "a branch or tag was deleted")
	case "ping":
		out.ignore(IgnoredPing, "GitHub tests the webhook")
	default:
		out.ignore(IgnoredEvent, "the event %s asks for no ref; send releases or pushes", quote(name))
	}
	return nil
}

// decodeGitHubRelease acts when a release becomes public: "published", and "released" when that makes it the full
// release that it was not before. A body without header and action is one written by hand, {"release": {"tag_name": …}}.
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
		return missing("action", "it says what became of the release")
	case p.Action != "published" && p.Action != "released":
		out.ignore(IgnoredAction, "a release was %s; only published and released count", quote(p.Action))
		return nil
	}
	if p.Release.Draft {
		out.ignore(IgnoredDraft, "the release is a draft")
		return nil
	}
	if p.Release.TagName == "" {
		return missing("release.tag_name", "it is the ref that the release asks for")
	}
	out.add(Event{
		Type:       eventType,
		Ref:        p.Release.TagName,
		RefType:    RefTypeTag,
		Repository: p.Repository.CloneURL,
		Time:       p.releaseTime(),
	})
	return nil
}

// releaseTime returns when the event happened. A pre-release that is promoted keeps published_at of the time when it was a
// pre-release: it would be older than all that was published since. Unless GitHub tells when the release was changed,
// "released" has no time, whether it is a promotion or comes with "published".
func (p gitHubEvent) releaseTime() time.Time {
	if p.Action == "released" {
		return p.Release.UpdatedAt.time
	}
	return p.Release.PublishedAt.time
}

// decodeGitHubPush acts on pushes to branches and tags, unless they delete them.
func decodeGitHubPush(m message, out *Decoded) error {
	p, err := decodeAs[gitHubEvent](m)
	if err != nil {
		return err
	}
	pushed := pushedRef{ref: field{"ref", p.Ref}, after: field{"after", p.After}, deleted: p.Deleted}
	return out.addPush(pushed, Event{
		Type:       "push",
		Repository: p.Repository.CloneURL,
		Revision:   commitIDOrEmpty(p.HeadCommit.ID),
		Time:       p.Repository.PushedAt.time,
	})
}
