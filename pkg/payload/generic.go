// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "encoding/json"

// SourceGeneric is the type of senders that say no more than the ref they want.
const SourceGeneric = "generic"

// genericRequest is the payload for whoever writes their own:
//
//	{"ref": "v2.0.0", "repository": "https://git.example.com/group/project.git"}
//
// The ref may be short or begin with refs/heads/ or refs/tags/. The repository is optional.
type genericRequest struct {
	Ref        string         `json:"ref"`
	Repository optionalString `json:"repository"`
}

// optionalString is a string, or empty for anything else. Only "ref" is reserved in a generic payload; what else is in
// it, under whatever name, is the sender's own.
type optionalString string

// UnmarshalJSON never fails.
func (s *optionalString) UnmarshalJSON(raw []byte) error {
	_ = json.Unmarshal(raw, (*string)(s))
	return nil
}

// fitsGeneric says no to everything that GitHub's decoder knows, since most of its events have a "ref", and some of
// them say that it is gone.
func fitsGeneric(m message) bool {
	return m.has("ref") && !fitsGitHub(m)
}

func decodeGeneric(m message, out *Decoded) error {
	p, err := decodeAs[genericRequest](m)
	if err != nil {
		return err
	}
	ref, refType := ShortRef(p.Ref)
	out.add(Event{Type: "request", Ref: ref, RefType: refType, Repository: string(p.Repository)})
	return nil
}
