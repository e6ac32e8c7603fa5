// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "strings"

// field is a value of a payload and where it stands, for errors.
type field struct{ path, value string }

// pushedRef is one ref that a push has moved. Every git host tells it by the full name of the ref and the id of what the
// ref names since, as git's own hooks do: https://git-scm.com/docs/githooks#post-receive
type pushedRef struct {
	ref, after field
	// deleted says that the payload marks the ref as gone, besides the zeros in after.
	deleted bool
}

// addPush adds the event of a ref that a push has moved, unless the ref is gone, or is neither a branch nor a tag. The
// event comes with what the ref does not tell; its revision may be empty.
func (d *Decoded) addPush(pushed pushedRef, e Event) error {
	ref, after := pushed.ref, pushed.after
	e.Ref, e.RefType = ShortRef(ref.value)
	switch {
	case ref.value == "":
		return missing(ref.path, "it is what was pushed")
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
	if e.Revision == "" && e.RefType == RefTypeBranch {
		e.Revision = after.value // of an annotated tag, it is the id of the tag object
	}
	d.add(e)
	return nil
}
