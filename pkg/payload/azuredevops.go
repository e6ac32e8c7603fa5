// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"slices"
	"strings"

	"postern.dev/postern/apis/postern"
)

var azureDevOps = Sender{
	Name: "azure-devops", Requests: RequestsGitRefs, Expects: "eventType and publisherId",
	Identity: true, Token: true,
	defaultBranch: [][]string{{"resource", "repository", "defaultBranch"}},
	shape:         hasAll("eventType", "publisherId"),
	decode:        decodeAzureDevOps,
}

// azureDevOpsEvent contains the used fields of the service hook that Azure DevOps sends for pushes:
// https://learn.microsoft.com/azure/devops/service-hooks/events#git.push
//
// It has no event header and no signature. A service hook can set headers: send the secret as X-Webhook-Secret. The
// kube-apiserver does not pass on its user name and password (HTTP Basic).
type azureDevOpsEvent struct {
	ID             string `json:"id"`
	SubscriptionID string `json:"subscriptionId"`
	EventType      string `json:"eventType"`
}

type azureDevOpsPush struct {
	Resource struct {
		RefUpdates list[azureDevOpsRefUpdate] `json:"refUpdates"`
		Repository struct {
			RemoteURL string         `json:"remoteUrl"`
			SSHURL    optionalString `json:"sshUrl"` // not in all versions
		} `json:"repository"`
		Date lenientTime `json:"date"` // time of the push
	} `json:"resource"`
}

type azureDevOpsRefUpdate struct {
	Name        string `json:"name"`
	NewObjectID string `json:"newObjectId"`
}

// azureDevOpsSample is the id of the sample push that the button "Test" sends, as in Microsoft's documentation.
const azureDevOpsSample = "03c164c2-8912-4d5e-8009-3707d5f83734"

// isTest reports whether the event is a test of a service hook. An unsaved service hook has an id of zeros.
func (e azureDevOpsEvent) isTest() bool {
	return e.ID == azureDevOpsSample || e.SubscriptionID != "" && strings.Trim(e.SubscriptionID, "0-") == ""
}

// azureDevOpsPullRequestEvents are to Azure DevOps what gitHubPullRequestActions are to GitHub.
var azureDevOpsPullRequestEvents = []string{
	"git.pullrequest.created", "git.pullrequest.updated", "git.pullrequest.merged",
}

func decodeAzureDevOps(m message, out *Decoded) error {
	e, err := decodeAs[azureDevOpsEvent](m)
	if err != nil {
		return err
	}
	if out.DeliveryID, err = cleanID("id", e.ID); err != nil {
		return err
	}
	if slices.Contains(azureDevOpsPullRequestEvents, e.EventType) {
		out.addPullRequest(m, e.EventType, m.text("resource", "repository", "remoteUrl"), pullRequest{
			number: []string{"resource", "pullRequestId"},
			head:   []string{"resource", "lastMergeSourceCommit", "commitId"},
			sshURL: []string{"resource", "repository", "sshUrl"},
		})
		return nil
	}
	if e.EventType != "git.push" {
		out.ignore(IgnoredEvent, "the event %s asks for no ref; send pushes (git.push)", quote(e.EventType))
		return nil
	}
	p, err := decodeAs[azureDevOpsPush](m)
	switch {
	case err != nil:
		return err
	case p.Resource.RefUpdates == nil: // checked before isTest, so that a test reports it too
		return missing("resource.refUpdates", `set "Resource details to send" of the service hook to "All"`)
	case e.isTest():
		out.ignore(IgnoredPing, "Azure DevOps tests the service hook with a made-up push")
		return nil
	}
	add := func(path string, update azureDevOpsRefUpdate) error {
		pushed := pushedRef{
			ref: field{path + "name", update.Name}, after: field{path + "newObjectId", update.NewObjectID},
		}
		return out.addPush(pushed, postern.DeliveryEvent{
			Event: "git.push", Repository: p.Resource.Repository.RemoteURL,
			SSHURL: string(p.Resource.Repository.SSHURL), Time: p.Resource.Date.microTime(),
		})
	}
	return eachRef(out, "resource.refUpdates", p.Resource.RefUpdates, add)
}
