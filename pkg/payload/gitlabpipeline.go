// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "postern.dev/postern/apis/postern"

// gitLabPipeline contains the used fields of pipeline events:
// https://docs.gitlab.com/user/project/integrations/webhook_events/#pipeline-events
type gitLabPipeline struct {
	Pipeline struct {
		Name   optionalString `json:"name"` // null without workflow:name
		Ref    string         `json:"ref"`
		Tag    bool           `json:"tag"`
		SHA    string         `json:"sha"`
		Source string         `json:"source"`
		Status string         `json:"status"`
		// CreatedAt is soon after the push; a pipeline keeps it when its jobs are retried.
		CreatedAt lenientTime `json:"created_at"`
	} `json:"object_attributes"`
	Project gitLabProject `json:"project"`
}

// decodeGitLabPipeline decodes pipelines that succeeded for a push. Those of a merge request may run a fork's code.
func decodeGitLabPipeline(m message, out *Decoded) error {
	p, err := decodeAs[gitLabPipeline](m)
	pipeline := p.Pipeline
	switch {
	case err != nil:
		return err
	case pipeline.Status != "success":
		out.ignore(IgnoredNotPassed, "the pipeline has the status %s; only success counts", quote(pipeline.Status))
		return nil
	case pipeline.Source != "push":
		out.ignore(IgnoredNotPassed, "the pipeline was started by %s; only pipelines for a push count",
			quote(pipeline.Source))
		return nil
	case pipeline.Ref == "":
		return missing("object_attributes.ref", "it names the pushed branch or tag")
	case !isCommitID(pipeline.SHA):
		return refuse(ErrorInvalidField, "object_attributes.sha must be a full commit id, not %s", quote(pipeline.SHA))
	}
	e := postern.DeliveryEvent{
		Event:      "pipeline",
		Ref:        pipeline.Ref,
		RefType:    postern.RefTypeBranch,
		Repository: p.Project.GitHTTPURL,
		SSHURL:     string(p.Project.GitSSHURL),
		Revision:   pipeline.SHA,
		Time:       pipeline.CreatedAt.microTime(),
	}
	if pipeline.Tag {
		e.RefType = postern.RefTypeTag
	}
	out.addPassed(string(pipeline.Name), e)
	return nil
}
