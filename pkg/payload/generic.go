// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

var generic = Sender{
	Name: postern.SourceGeneric, Requests: RequestsGitRefs, Expects: "ref, and no field of a git host's event",
	Identity: true, Signatures: []SignatureScheme{SignatureBody, SignatureSigningToken}, Token: true,
	// A script may pass on the repository of a git host's event.
	defaultBranch: anyDefaultBranch,
	fits:          fitsGeneric, decode: decodeGeneric,
}

// genericRequest is the payload of custom senders:
//
//	{"ref": "v2.0.0", "repository": "https://git.example.com/group/project.git"}
//
// The ref may be short or begin with refs/heads/ or refs/tags/. The repository is optional.
type genericRequest struct {
	Ref        string         `json:"ref"`
	Repository optionalString `json:"repository"`
}

// optionalString is a string, or empty for any other value. Only "ref" is reserved in a generic payload; the sender may
// use all other names.
type optionalString string

// UnmarshalJSON never fails.
func (s *optionalString) UnmarshalJSON(raw []byte) error {
	_ = json.Unmarshal(raw, (*string)(s))
	return nil
}

// fitsGeneric is false for events of git hosts that have a "ref", because some of them report a deleted ref.
func fitsGeneric(m message) bool {
	return m.has("ref") && !fitsGitHub(m) && !fitsGitea(m) && !fitsGitLab(m)
}

func decodeGeneric(m message, out *Decoded) error {
	p, err := decodeAs[genericRequest](m)
	if err != nil {
		return err
	}
	ref, refType := naming.ShortRef(p.Ref)
	out.add(postern.DeliveryEvent{Event: "request", Ref: ref, RefType: refType, Repository: string(p.Repository)})
	return nil
}

// RequestImage returns the request of a generic sender that names an image and a tag without a payload. The error is an
// *Error.
func RequestImage(name, tag string) (Decoded, error) {
	image, err := naming.ParseTaggedImage(name, tag)
	if err != nil {
		return Decoded{Source: postern.SourceGeneric}, refuse(ErrorInvalidImage, "%v", err)
	}
	out := Decoded{Source: postern.SourceGeneric, Events: []postern.DeliveryEvent{{Event: "request", Image: &image}}}
	return out, normalizeEvent(&out.Events[0], out)
}
