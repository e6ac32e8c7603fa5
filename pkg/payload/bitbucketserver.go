// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"slices"
	"strings"

	"postern.dev/postern/apis/postern"
)

var bitbucketServer = Sender{
	Name: "bitbucket-server", Requests: RequestsGitRefs, Expects: "eventKey",
	Signatures:  []SignatureScheme{SignatureBody},
	identifying: []string{bitbucketEventHeader},
	kept:        []string{bitbucketEventHeader, "X-Request-Id"},
	// Bitbucket Cloud uses the same event header, but other headers for request ids.
	namedBy: anyOf(
		hasHeader(bitbucketEventHeader, bitbucketServerPushed, bitbucketServerPing),
		allOf(hasHeader(bitbucketEventHeader), not(hasHeader(bitbucketEventHeader, "repo:push")),
			not(hasAnyHeader("X-Request-UUID", "X-Hook-UUID"))),
	),
	shape:  anyOf(hasText("eventKey"), isOnly("test", "true")),
	decode: decodeBitbucketServer,
}

// bitbucketServerPush contains the used fields of a push to Bitbucket Data Center, formerly Bitbucket Server:
// https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html
type bitbucketServerPush struct {
	Date       lenientTime `json:"date"`
	Repository struct {
		Links struct {
			Clone list[bitbucketServerLink] `json:"clone"`
		} `json:"links"`
	} `json:"repository"`
	Changes list[bitbucketServerChange] `json:"changes"`
}

type bitbucketServerChange struct {
	Ref struct {
		ID string `json:"id"`
	} `json:"ref"`
	RefID  string `json:"refId"`
	ToHash string `json:"toHash"`
	Type   string `json:"type"` // ADD, UPDATE or DELETE
}

// bitbucketServerLink is a clone URL of a repository, named "http" (also for https) or "ssh".
type bitbucketServerLink struct {
	Name string `json:"name"`
	Href string `json:"href"`
}

const (
	bitbucketServerPushed = "repo:refs_changed"
	bitbucketServerPing   = "diagnostics:ping"
)

// bitbucketServerEventName prefers the body, which may be signed. Only the connection test, {"test": true}, does not
// name its event.
func bitbucketServerEventName(m message) string {
	if isOnly("test", "true")(m) {
		return bitbucketServerPing
	}
	return cmp.Or(m.text("eventKey"), m.header.Get(bitbucketEventHeader))
}

// decodeBitbucketServer decodes all changes of a push.
func decodeBitbucketServer(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID("X-Request-Id"); err != nil {
		return err
	}
	switch name := bitbucketServerEventName(m); {
	case name == bitbucketServerPushed:
		return decodeBitbucketServerPush(m, out)
	case name == bitbucketServerPing:
		out.ignore(IgnoredPing, "Bitbucket tests the webhook")
	case slices.Contains(bitbucketServerPullRequestEvents, name):
		out.addPullRequest(m, name, bitbucketServerRepository(m), pullRequest{
			number: []string{"pullRequest", "id"}, head: []string{"pullRequest", "fromRef", "latestCommit"},
		})
	default:
		out.ignore(IgnoredEvent, "the event %s asks for no ref; send pushes (repo:refs_changed)", quote(name))
	}
	return nil
}

// bitbucketServerPullRequestEvents are to Bitbucket Data Center what gitHubPullRequestActions are to GitHub.
var bitbucketServerPullRequestEvents = []string{
	"pr:opened", "pr:from_ref_updated", "pr:modified", "pr:merged", "pr:declined", "pr:deleted",
}

// bitbucketServerRepository returns the URL of the repository of a pull request, from its page
// (https://HOST/projects/PROJECT/repos/REPOSITORY/pull-requests/NUMBER). A Bitbucket without a base URL names no host:
// then it is PROJECT/REPOSITORY.
func bitbucketServerRepository(m message) string {
	project := m.text("pullRequest", "toRef", "repository", "project", "key")
	repository := m.text("pullRequest", "toRef", "repository", "slug")
	if project == "" || repository == "" {
		return ""
	}
	base := ""
	eachElement(m.object.find("pullRequest", "links", "self"), func(link []byte) bool {
		href := memberValue(link, "href")
		if len(href) > 0 && href[0] == '"' {
			page := string(unquote(href))
			if i := max(strings.Index(page, "/projects/"), strings.Index(page, "/users/")); i > 0 {
				base = page[:i] + "/scm/"
			}
		}
		return base == ""
	})
	return base + project + "/" + repository
}

func decodeBitbucketServerPush(m message, out *Decoded) error {
	p, err := decodeAs[bitbucketServerPush](m)
	if err != nil {
		return err
	}
	return eachRef(out, "changes", p.Changes, func(path string, change bitbucketServerChange) error {
		pushed := pushedRef{
			ref:     field{path + "ref.id", cmp.Or(change.Ref.ID, change.RefID)},
			after:   field{path + "toHash", change.ToHash},
			deleted: change.Type == "DELETE",
		}
		e := postern.DeliveryEvent{
			Event: bitbucketServerPushed, Repository: cmp.Or(p.cloneURL("http"), p.cloneURL("ssh")),
			SSHURL: p.cloneURL("ssh"), Time: p.Date.microTime(),
		}
		return out.addPush(pushed, e)
	})
}

// cloneURL returns the clone URL of that name, or "": old versions do not send them.
func (p bitbucketServerPush) cloneURL(name string) string {
	for _, link := range p.Repository.Links.Clone {
		if link.Name == name {
			return link.Href
		}
	}
	return ""
}
