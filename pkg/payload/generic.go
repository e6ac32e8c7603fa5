// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "encoding/json"

// SourceGeneric is the type of senders that only name the requested ref.
const SourceGeneric = "generic"

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
	ref, refType := ShortRef(p.Ref)
	out.add(Event{Type: "request", Ref: ref, RefType: refType, Repository: string(p.Repository)})
	return nil
}

// RequestImage returns the request of a generic sender that names an image and a tag without a payload. The error is an
// *Error.
func RequestImage(name, tag string) (Decoded, error) {
	image, err := ParseImage(name + ":" + tag)
	if err == nil && (image.Tag != tag || image.Digest != "") { // the tag extends into the name or vice versa
		err = refuse(ErrorInvalidImage, "%s is not a tag of the image %s", quote(tag), quote(name))
	}
	if err != nil {
		return Decoded{Source: SourceGeneric}, err
	}
	out := Decoded{Source: SourceGeneric, Events: []Event{{Type: "request", Image: &image}}}
	return out, normalizeEvent(&out.Events[0], out)
}
