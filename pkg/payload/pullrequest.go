// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// pullRequest is where a git host's event has the parts of a pull request, or merge request.
type pullRequest struct {
	// number and head are the paths of its number, and of the commit that it offers.
	number, head []string
	// sshURL is the path of the SSH address of the repository that it is for; nil if there is none.
	sshURL []string
	// repositoryID is the path of the number of that repository; nil if no ApplicationSet names it by that.
	repositoryID []string
}

// maxNumberDigits bounds numbers that are kept.
const maxNumberDigits = 18

// addPullRequest adds the event of a pull request for a repository. It requests no ref, and only makes ApplicationSets
// look at pull requests again, so what is missing, or unusable, is no error: the sender would take it for its own.
func (d *Decoded) addPullRequest(m message, event, repository string, p pullRequest) {
	number := m.number(p.number...)
	_, err := naming.CleanRepository(repository)
	if number == "" || err != nil {
		d.ignore(IgnoredEvent, "the event %s names no pull request, or no usable repository", quote(event))
		return
	}
	d.add(postern.DeliveryEvent{
		Event: event, Ref: "pull/" + number, RefType: postern.RefTypePullRequest, Repository: repository,
		SSHURL: m.text(p.sshURL...), RepositoryID: m.number(p.repositoryID...),
		Revision: commitIDOrEmpty(m.text(p.head...)),
	})
}

// number returns the digits of the integer at the path, or "" if there is none or the path is empty.
func (m message) number(path ...string) string {
	if len(path) == 0 {
		return ""
	}
	digits := string(m.object.find(path...))
	if len(digits) > maxNumberDigits || strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	return digits
}
