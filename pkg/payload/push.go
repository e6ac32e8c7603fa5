// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// field is a value with its path in the payload, for errors.
type field struct{ path, value string }

// pushedRef is one ref that a push changed. Every git host reports the full name of the ref and its new object id, as
// git's own hooks do: https://git-scm.com/docs/githooks#post-receive
type pushedRef struct {
	ref, after field
	// deleted is set if the payload marks the ref as deleted, in addition to zeros in after.
	deleted bool
	// before is the commit from which a branch was moved by the commits.
	before  optionalString
	commits pushedCommits
}

// addPush adds the event of a pushed ref, unless the ref was deleted or is neither a branch nor a tag. The caller sets
// the remaining fields of the event; its revision may be empty.
func (d *Decoded) addPush(pushed pushedRef, e postern.DeliveryEvent) error {
	ref, after := pushed.ref, pushed.after
	e.Ref, e.RefType = naming.ShortRef(ref.value)
	switch {
	case ref.value == "":
		return missing(ref.path, "it names the pushed ref")
	case pushed.deleted || isZeroID(after.value):
		d.ignore(IgnoredRefDeleted, "%s was deleted", quote(ref.value))
		return nil
	case after.value == "":
		return missing(after.path, "it says whether the ref still exists after the push")
	case !isCommitID(after.value):
		return refuse(ErrorInvalidField, "%s must be a full commit id, not %s", after.path, quote(after.value))
	case e.RefType == "" && strings.HasPrefix(ref.value, "refs/"):
		d.ignore(IgnoredNotBranchOrTag, "%s is neither a branch nor a tag", quote(ref.value))
		return nil
	}
	if e.Revision == "" && e.RefType == postern.RefTypeBranch {
		e.Revision = after.value // for an annotated tag, after is the id of the tag object
	}
	if e.RefType == postern.RefTypeBranch && isCommitID(string(pushed.before)) { // zeros if the branch is new
		e.ChangedFiles, e.ChangedFilesTruncated = pushed.commits.changedFiles()
	}
	d.addRef(e)
	return nil
}

// addRef adds the event of a ref that a git host reports. A ref that can't be requested is ignored: it must not keep
// the other refs of the push from being requested, nor make the host disable the webhook.
func (d *Decoded) addRef(e postern.DeliveryEvent) {
	if err := naming.ValidateRef(e.Ref, e.RefType); err != nil {
		d.ignore(IgnoredInvalidRef, "%v", err)
		return
	}
	d.add(e)
}

// repositoryCommit is a commit of a repository. Both are empty if unknown.
type repositoryCommit struct{ repository, id string }

// addNamed adds the events of a ref that the user names next to commits: one for each of their repositories, of which a
// target takes its own. The commit makes news of a ref that stays the same. A ref that is one of the commits is of its
// repository alone.
func (d *Decoded) addNamed(event, named string, commits []repositoryCommit) {
	ref, refType := naming.ShortRef(named)
	isCommit := refType == "" && naming.IsCommitID(ref)
	isOther := func(c repositoryCommit) bool { return !strings.EqualFold(c.id, ref) }
	if own := slices.DeleteFunc(slices.Clone(commits), isOther); isCommit && len(own) > 0 {
		commits = own
	}
	if len(commits) == 0 {
		commits = []repositoryCommit{{}}
	}
	for _, c := range commits {
		e := postern.DeliveryEvent{Event: event, Ref: ref, RefType: refType, Repository: c.repository}
		if !isCommit {
			e.Revision = c.id
		}
		isSame := func(other postern.DeliveryEvent) bool { return reflect.DeepEqual(other, e) }
		if !slices.ContainsFunc(d.Events, isSame) {
			d.add(e)
		}
	}
}

// eachRef calls add for each item of the list of the refs that a push moved, with the path of the item.
func eachRef[T any](out *Decoded, name string, items list[T], add func(path string, item T) error) error {
	switch {
	case items == nil:
		return missing(name, "it lists the pushed refs")
	case len(items) == 0:
		out.ignore(IgnoredNothingPushed, "the push moved no ref")
	}
	for i, item := range items {
		if err := add(fmt.Sprintf("%s[%d].", name, i), item); err != nil {
			return err
		}
	}
	return nil
}

// addRelease adds the event of a published release, unless it is a draft.
func (d *Decoded) addRelease(draft bool, tag field, e postern.DeliveryEvent) error {
	switch {
	case draft:
		d.ignore(IgnoredDraft, "the release is a draft")
		return nil
	case tag.value == "":
		return missing(tag.path, "it names the tag of the release")
	}
	e.Ref, e.RefType = tag.value, postern.RefTypeTag
	d.addRef(e)
	return nil
}

// isCommitID reports whether s is a full commit id: SHA-1 or SHA-256 in lower-case hexadecimal, not all zeros.
func isCommitID(s string) bool {
	return naming.IsCommitID(s) && s == strings.ToLower(s) && !isZeroID(s)
}

// isZeroID reports whether s is git's id of a nonexistent object.
func isZeroID(s string) bool {
	return s != "" && strings.Trim(s, "0") == ""
}

// commitIDOrEmpty returns s if it is a full commit id, else "".
func commitIDOrEmpty(s string) string {
	if isCommitID(s) {
		return s
	}
	return ""
}
