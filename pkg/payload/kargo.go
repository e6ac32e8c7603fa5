// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

var kargo = Sender{
	Name: "kargo", Requests: RequestsGitRefs, Expects: "freight.commits",
	Identity: true, Token: true,
	defaultBranch: anyDefaultBranch,
	fits:          func(m message) bool { return m.has("freight", "commits") },
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

// decodeKargo uses the first tag among the commits, then the first branch, then the first id. A top-level "ref"
// overrides all of them except the tag of the first commit, as in Stoker's receiver, which reads only that commit.
//
// The date of the freight is not the time of the event: users promote old freight to roll back.
func decodeKargo(m message, out *Decoded) error {
	p, err := decodeAs[kargoPromotion](m)
	if err != nil {
		return err
	}
	commits := p.Freight.Commits
	if p.Ref != "" && (len(commits) == 0 || commits[0].Tag == "") {
		ref, refType := naming.ShortRef(p.Ref)
		out.add(postern.DeliveryEvent{Event: "promotion", Ref: ref, RefType: refType})
		return nil
	}
	for _, refType := range []postern.RefType{postern.RefTypeTag, postern.RefTypeBranch, postern.RefTypeCommit} {
		for _, c := range commits {
			if ref := c.ref(refType); ref != "" {
				out.add(postern.DeliveryEvent{
					Event:      "promotion",
					Ref:        ref,
					RefType:    refType,
					Repository: c.RepoURL,
					Revision:   commitIDOrEmpty(c.ID),
				})
				return nil
			}
		}
	}
	return refuse(ErrorInvalidField, "freight.commits must name a tag, a branch or a full commit id")
}

func (c kargoCommit) ref(t postern.RefType) string {
	switch t {
	case postern.RefTypeTag:
		return c.Tag
	case postern.RefTypeBranch:
		return c.Branch
	default:
		return commitIDOrEmpty(c.ID)
	}
}
