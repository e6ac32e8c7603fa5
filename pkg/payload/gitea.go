// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// giteaEvent is the part that is read of the push, create and release events of Gitea, Forgejo and Gogs:
// https://docs.gitea.com/usage/webhooks, https://forgejo.org/docs/latest/user/webhooks/, and in the sources of Gitea and
// Forgejo modules/structs/hook.go.
//
// None of them tells when something happened: repository.updated_at is from before the push, and release.published_at
// may be the date of the tag, which its author chooses.
type giteaEvent struct {
	Action  string `json:"action"`
	Release struct {
		TagName string `json:"tag_name"`
		Draft   bool   `json:"draft"`
	} `json:"release"`
	Ref        string `json:"ref"`
	RefType    string `json:"ref_type"`
	SHA        string `json:"sha"`
	Before     string `json:"before"`
	After      string `json:"after"`
	HeadCommit struct {
		ID string `json:"id"`
	} `json:"head_commit"`
	Repository struct {
		CloneURL string `json:"clone_url"`
	} `json:"repository"`
}

// giteaHeaders tell the three from GitHub, whose headers they send as well (services/webhook/deliver.go; in Gogs,
// internal/database/webhook.go). One alone would not do: Gitea leaves X-Gitea-Event empty for some events. GitHub itself
// has no X-GitHub-Event-Type.
var giteaHeaders = []string{
	"X-Gitea-Event", "X-Gitea-Event-Type", "X-Gitea-Delivery",
	"X-Forgejo-Event", "X-Forgejo-Event-Type", "X-Forgejo-Delivery",
	"X-Gogs-Event", "X-Gogs-Event-Type", "X-Gogs-Delivery",
	"X-GitHub-Event-Type",
}

// fitsGitea goes by the sender's "username", which GitHub calls "login" only.
func fitsGitea(m message) bool {
	return m.has("sender", "username") && giteaEventName(m) != ""
}

// giteaEventName returns the name of the event from the headers. What was sent without them is known by its shape.
func giteaEventName(m message) string {
	_, name := firstHeader(m.header,
		"X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event", "X-GitHub-Event",
		"X-Gitea-Event-Type", "X-Forgejo-Event-Type", "X-Gogs-Event-Type", "X-GitHub-Event-Type")
	switch {
	case name != "":
		return name
	case m.has("release", "tag_name"):
		return "release"
	case m.has("ref") && m.hasAny("after", "before", "commits"):
		return "push"
	case m.has("ref") && m.has("ref_type") && m.has("sha"):
		return "create"
	case m.has("ref") && m.has("ref_type"):
		return "delete"
	}
	return ""
}

func decodeGitea(m message, out *Decoded) (err error) {
	out.DeliveryID, err = m.deliveryID("X-Gitea-Delivery", "X-Forgejo-Delivery", "X-Gogs-Delivery", "X-GitHub-Delivery")
	if err != nil {
		return err
	}
	switch name := giteaEventName(m); name {
	case "push":
		return decodeGiteaPush(m, out)
	case "create":
		return decodeGiteaCreate(m, out)
	case "release":
		return decodeGiteaRelease(m, out)
	case "delete":
		out.ignore(IgnoredRefDeleted, "a branch or tag was deleted")
	default:
		out.ignore(IgnoredEvent, "the event %s asks for no ref; send releases or pushes", quote(name))
	}
	return nil
}

// decodeGiteaPush acts on pushes to branches and tags, unless they delete them. The button that tests a webhook sends a
// push that moves the default branch to where it is already.
func decodeGiteaPush(m message, out *Decoded) error {
	p, err := decodeAs[giteaEvent](m)
	if err != nil {
		return err
	}
	if p.Before != "" && p.Before == p.After {
		out.ignore(IgnoredPing, "the push moves nothing: it tests the webhook")
		return nil
	}
	pushed := pushedRef{ref: field{"ref", p.Ref}, after: field{"after", p.After}}
	return out.addPush(pushed, Event{
		Type:       "push",
		Repository: p.Repository.CloneURL,
		Revision:   commitIDOrEmpty(p.HeadCommit.ID),
	})
}

// decodeGiteaCreate acts on new tags of Gogs, which sends no push for them. Gogs alone tells the default branch here.
func decodeGiteaCreate(m message, out *Decoded) error {
	p, err := decodeAs[giteaEvent](m)
	switch {
	case err != nil:
		return err
	case p.RefType != "tag" || !m.has("default_branch"):
		out.ignore(IgnoredRefCreated, "a new branch or tag; a push is sent for it too, and that one counts")
		return nil
	case p.Ref == "":
		return missing("ref", "it is the new tag")
	}
	pushed := pushedRef{ref: field{"ref", tagsPrefix + p.Ref}, after: field{"sha", p.SHA}}
	return out.addPush(pushed, Event{Type: "create", Repository: p.Repository.CloneURL})
}

// decodeGiteaRelease acts when a release is published. "updated" is every later edit, and also the end of a draft whose
// tag exists already; but that tag has been pushed before.
func decodeGiteaRelease(m message, out *Decoded) error {
	p, err := decodeAs[giteaEvent](m)
	switch {
	case err != nil:
		return err
	case p.Action == "":
		return missing("action", "it says what became of the release")
	case p.Action != "published":
		out.ignore(IgnoredAction, "a release was %s; only published counts", quote(p.Action))
		return nil
	case p.Release.Draft:
		out.ignore(IgnoredDraft, "the release is a draft")
		return nil
	case p.Release.TagName == "":
		return missing("release.tag_name", "it is the ref that the release asks for")
	}
	out.add(Event{
		Type:       "release.published",
		Ref:        p.Release.TagName,
		RefType:    RefTypeTag,
		Repository: p.Repository.CloneURL,
	})
	return nil
}
