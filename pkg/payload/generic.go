// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

var generic = Sender{
	Name: postern.SourceGeneric, Requests: RequestsGitRefs, Expects: "ref, and no field of another sender",
	Identity: true, OIDC: true, Signatures: []SignatureScheme{SignatureBody, SignatureSigningToken}, Token: true,
	identifying: idHeaders, kept: idHeaders,
	// A script may pass on the repository of a git host's event.
	defaultBranch: anyDefaultBranch,
	// What tells of another sender is not a request, although it has a ref. A "ref" in a template is one.
	shape: allOf(hasAll("ref"), not(gitHostEvent), not(anyOf(
		gitea.shape, gitLab.shape, bitbucket.shape, bitbucketServer.shape, azureDevOps.shape, gitHub.shape,
		ghcr.shape, cloudEvents.shape,
	))),
	decode: decodeGeneric,
}

// idHeaders have the id of a delivery, of senders that let their users choose headers: as in Standard Webhooks, and as
// in the draft of the IETF for HTTP: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
var idHeaders = []string{"Webhook-Id", "Idempotency-Key"}

// gitHostEvent matches events of git hosts that are not decoded without their headers. The ref of a finding or a run
// must not be deployed, nor a deleted one. Names that a script may use for fields of its own count only with an object.
var gitHostEvent = anyOf(
	hasObject("sender", "actor", "pusher", "alert", "check_run", "check_suite", "comment", "deployment",
		"deployment_status", "installation", "issue", "pull_request", "workflow_job", "workflow_run"),
	hasAny("commit_oid", "hook_id", "pusher_type"),
	allOf(hasObject("repository"), hasAny("action", "workflow")),
	allOf(has("repository", "clone_url"), hasAll("ref_type")),
)

// genericRequest is the payload of custom senders:
//
//	{"ref": "main", "revision": "<commit id>", "repository": "https://git.example.com/group/project.git"}
//
// The ref may be short or begin with refs/heads/ or refs/tags/. The others are optional.
type genericRequest struct {
	Ref        string         `json:"ref"`
	Revision   optionalString `json:"revision"`
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

func decodeGeneric(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID(idHeaders...); err != nil {
		return err
	}
	p, err := decodeAs[genericRequest](m)
	if err != nil {
		return err
	}
	ref, refType := naming.ShortRef(p.Ref)
	out.add(postern.DeliveryEvent{
		Event: "request", Ref: ref, RefType: refType, Repository: string(p.Repository),
		Revision: commitIDOrEmpty(string(p.Revision)),
	})
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
