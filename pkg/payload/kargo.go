// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"slices"

	"postern.dev/postern/apis/postern"
)

var kargo = Sender{
	Name: "kargo", Requests: RequestsGitRefs, Expects: "freight.commits, or freight and ref",
	Identity: true, Token: true,
	identifying: idHeaders, kept: idHeaders,
	defaultBranch: anyDefaultBranch,
	shape:         anyOf(has("freight", "commits"), allOf(hasObject("freight"), hasAll("ref"))),
	decode:        decodeKargo,
}

// kargoPromotion contains the used fields of Kargo's http step. The user defines the body; by convention it contains
// the freight of the promotion: https://docs.kargo.io/user-guide/reference-docs/promotion-steps/http
type kargoPromotion struct {
	Freight struct {
		Commits list[kargoCommit] `json:"commits"`
	} `json:"freight"`
	Ref string `json:"ref"`
}

type kargoCommit struct {
	RepoURL string `json:"repoURL"`
	Tag     string `json:"tag"`
	Branch  string `json:"branch"`
	ID      string `json:"id"`
}

// decodeKargo uses the tag of each commit, otherwise its branch, otherwise its id: a target takes the one of its own
// repository. A target of none of the repositories takes the last event, which is for the first tag, otherwise for the
// first branch. A top-level "ref" overrides all of them, each in its repository, except the tag of the first commit, as
// in Stoker's receiver, which reads only that commit.
//
// The date of the freight is not the time of the event: users promote old freight to roll back.
func decodeKargo(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID(idHeaders...); err != nil {
		return err
	}
	p, err := decodeAs[kargoPromotion](m)
	if err != nil {
		return err
	}
	commits := p.Freight.Commits
	if p.Ref != "" && (len(commits) == 0 || commits[0].Tag == "") {
		named := make([]repositoryCommit, len(commits))
		for i, c := range commits {
			named[i] = repositoryCommit{c.RepoURL, commitIDOrEmpty(c.ID)}
		}
		out.addNamed("promotion", p.Ref, named)
		return nil
	}
	for _, refType := range []postern.RefType{postern.RefTypeCommit, postern.RefTypeBranch, postern.RefTypeTag} {
		for _, c := range slices.Backward(commits) {
			if ref, t := c.ref(); ref != "" && t == refType {
				out.addRef(postern.DeliveryEvent{
					Event:      "promotion",
					Ref:        ref,
					RefType:    refType,
					Repository: c.RepoURL,
					Revision:   commitIDOrEmpty(c.ID),
				})
			}
		}
	}
	if len(out.Events) == 0 && len(out.Ignored) == 0 {
		return refuse(ErrorInvalidField, "freight.commits must name a tag, a branch or a full commit id")
	}
	return nil
}

// ref returns the ref that a commit is requested by.
func (c kargoCommit) ref() (ref string, refType postern.RefType) {
	switch {
	case c.Tag != "":
		return c.Tag, postern.RefTypeTag
	case c.Branch != "":
		return c.Branch, postern.RefTypeBranch
	}
	return commitIDOrEmpty(c.ID), postern.RefTypeCommit
}
