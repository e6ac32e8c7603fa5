// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"slices"

	"postern.dev/postern/apis/postern"
)

var bitbucket = Sender{
	Name: "bitbucket", Requests: RequestsGitRefs, Expects: "push.changes",
	Signatures:  []SignatureScheme{SignatureBody},
	identifying: []string{bitbucketEventHeader, "X-Request-UUID", "X-Hook-UUID"},
	// X-Hook-UUID is the same in all deliveries, and some receivers use it as a secret.
	kept: []string{bitbucketEventHeader, "X-Request-UUID", "X-Attempt-Number"},
	// Bitbucket Data Center comes first and names its events by the same header.
	namedBy: hasHeader(bitbucketEventHeader),
	// Other events are recognized only by their headers.
	shape:  anyOf(has("push", "changes"), bitbucketPullRequest),
	decode: decodeBitbucketCloud,
}

// bitbucketEventHeader is the event header of Bitbucket Cloud and Bitbucket Data Center.
const bitbucketEventHeader = "X-Event-Key"

// bitbucketPush contains the used fields of a push to Bitbucket Cloud. It has no time:
// https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/#Push
type bitbucketPush struct {
	Push struct {
		Changes list[bitbucketChange] `json:"changes"`
	} `json:"push"`
	Repository struct {
		Links struct {
			HTML struct {
				Href string `json:"href"`
			} `json:"html"`
		} `json:"links"`
	} `json:"repository"`
}

type bitbucketChange struct {
	Old bitbucketRef  `json:"old"`
	New *bitbucketRef `json:"new"` // null if the ref was deleted
}

type bitbucketRef struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Target struct {
		Hash string `json:"hash"`
	} `json:"target"`
}

// decodeBitbucketCloud decodes all changes of a push. Retries repeat X-Request-UUID. X-Hook-UUID identifies the webhook
// and is not used, because some receivers treat it as a secret.
func decodeBitbucketCloud(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID("X-Request-UUID"); err != nil {
		return err
	}
	switch name := m.header.Get(bitbucketEventHeader); {
	case slices.Contains(bitbucketPullRequestEvents, name) || name == "" && bitbucketPullRequest(m):
		out.addPullRequest(m, "pullrequest", m.text("repository", "links", "html", "href"), pullRequest{
			number: []string{"pullrequest", "id"}, head: []string{"pullrequest", "source", "commit", "hash"},
		})
		return nil
	case name != "" && name != "repo:push":
		out.ignore(IgnoredEvent, "the event %s asks for no ref; send pushes (repo:push)", quote(name))
		return nil
	}
	p, err := decodeAs[bitbucketPush](m)
	if err != nil {
		return err
	}
	return eachRef(out, "push.changes", p.Push.Changes, func(path string, change bitbucketChange) error {
		e := postern.DeliveryEvent{Event: "repo:push", Repository: p.Repository.Links.HTML.Href}
		return change.add(e, path, out)
	})
}

// bitbucketPullRequestEvents are to Bitbucket what gitHubPullRequestActions are to GitHub. The body does not name them,
// so the event is "pullrequest" for all.
var bitbucketPullRequestEvents = []string{
	"pullrequest:created", "pullrequest:updated", "pullrequest:fulfilled", "pullrequest:rejected",
}

// bitbucketPullRequest matches the bodies of these events. Those of reviews and comments have them, too.
var bitbucketPullRequest = allOf(
	has("pullrequest", "id"), not(hasAny("push", "approval", "changes_request", "comment")),
)

// add adds the event of a change at a path.
func (c bitbucketChange) add(e postern.DeliveryEvent, path string, out *Decoded) error {
	if c.New == nil {
		out.ignore(IgnoredRefDeleted, "%s was deleted", quote(c.Old.Name))
		return nil
	}
	switch c.New.Type {
	case "branch":
		e.RefType = postern.RefTypeBranch
	case "tag", "annotated_tag":
		e.RefType = postern.RefTypeTag
	case "":
		return missing(path+"new.type", "it says whether a branch or a tag was pushed")
	default:
		out.ignore(IgnoredNotBranchOrTag, "%s is neither a branch nor a tag", quote(c.New.Name))
		return nil
	}
	if c.New.Name == "" {
		return missing(path+"new.name", "it names the pushed ref")
	}
	e.Ref, e.Revision = c.New.Name, commitIDOrEmpty(c.New.Target.Hash)
	out.addRef(e)
	return nil
}
