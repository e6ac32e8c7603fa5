// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// gitHubWorkflowRun contains the used fields of the workflow_run event:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#workflow_run
type gitHubWorkflowRun struct {
	Action string `json:"action"`
	Run    struct {
		Name       string `json:"name"`
		Event      string `json:"event"`
		Conclusion string `json:"conclusion"` // null before the end
		// HeadBranch is the name of the branch that was pushed, or of the tag.
		HeadBranch string `json:"head_branch"`
		HeadSHA    string `json:"head_sha"`
		// CreatedAt is the time of the first attempt, soon after the push. Later attempts keep it, so they do not seem
		// newer than runs of later pushes.
		CreatedAt      timestamp `json:"created_at"`
		HeadRepository struct {
			ID int64 `json:"id"`
		} `json:"head_repository"`
	} `json:"workflow_run"`
	Repository struct {
		ID            int64          `json:"id"`
		CloneURL      string         `json:"clone_url"`
		SSHURL        optionalString `json:"ssh_url"`
		DefaultBranch string         `json:"default_branch"`
	} `json:"repository"`
}

// decodeGitHubWorkflowRun decodes runs that succeeded for a push to the repository itself. A run for a pull request has
// the branch of a fork in head_branch, and the names of branches and workflows in a fork are its owner's choice.
func decodeGitHubWorkflowRun(m message, out *Decoded) error {
	p, err := decodeAs[gitHubWorkflowRun](m)
	run := p.Run
	switch {
	case err != nil:
		return err
	case p.Action == "":
		return missing("action", "it says what happened to the run")
	case p.Action != "completed":
		out.ignore(IgnoredAction, "a run of a workflow was %s; only completed counts", quote(p.Action))
		return nil
	case run.Conclusion != "success":
		out.ignore(IgnoredNotPassed, "the run of %s ended with %s; only success counts", quote(run.Name),
			quote(run.Conclusion))
		return nil
	case run.Event != "push":
		out.ignore(IgnoredNotPassed, "the run of %s was started by %s; only runs for a push count", quote(run.Name),
			quote(run.Event))
		return nil
	case p.Repository.ID == 0 || run.HeadRepository.ID != p.Repository.ID:
		out.ignore(IgnoredNotPassed, "the run of %s is for a commit of another repository", quote(run.Name))
		return nil
	case run.HeadBranch == "":
		return missing("workflow_run.head_branch", "it names the pushed branch or tag")
	case naming.IsCommitID(run.HeadBranch) || strings.HasPrefix(run.HeadBranch, "refs/"):
		out.ignore(IgnoredInvalidRef, "%s could be taken for a commit id or a full ref", quote(run.HeadBranch))
		return nil
	case !isCommitID(run.HeadSHA):
		return refuse(ErrorInvalidField, "workflow_run.head_sha must be a full commit id, not %s", quote(run.HeadSHA))
	}
	e := postern.DeliveryEvent{
		Event:      "workflow_run",
		Ref:        run.HeadBranch,
		Repository: p.Repository.CloneURL,
		SSHURL:     string(p.Repository.SSHURL),
		Revision:   run.HeadSHA,
		Time:       run.CreatedAt.microTime(),
	}
	if run.HeadBranch == p.Repository.DefaultBranch { // otherwise it may be a tag
		e.RefType = postern.RefTypeBranch
	}
	out.addPassed(run.Name, e)
	return nil
}
