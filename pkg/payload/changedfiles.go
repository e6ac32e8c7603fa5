// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"slices"
	"strconv"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// pushedCommits are the commits by which a push moved a branch, with the files that each has changed. Its zero value,
// and any value from which the files do not follow for certain, are of a push that may have changed every file.
type pushedCommits struct {
	// list is the array of commits, each with the arrays added, modified and removed.
	list rawValue
	// total is how many commits the push has; -1 if unknown. If there are more than in the list, it is cut.
	total int
	// hidesRenames is set if a renamed file is among the added ones by its new name, and nowhere by its old one.
	hidesRenames bool
}

// count returns the number of commits in the list.
func (c pushedCommits) count() int { return countElements(c.list) }

// changedFiles returns the files that the commits changed; none if they are unknown. truncated says that they are
// because there are too many.
func (c pushedCommits) changedFiles() (files []string, truncated bool) {
	if count := c.count(); count != c.total {
		return nil, count < c.total
	}
	set := fileSet{names: map[string]bool{}}
	known := eachElement(c.list, func(commit []byte) bool {
		added := memberValue(commit, "added")
		if c.hidesRenames && countElements(added) > 0 {
			return false
		}
		return set.add(added) && set.add(memberValue(commit, "modified")) && set.add(memberValue(commit, "removed"))
	})
	if !known {
		return nil, set.isFull
	}
	for name := range set.names {
		files = append(files, name)
	}
	slices.Sort(files)
	return files, false
}

// fileSet is a bounded set of files.
type fileSet struct {
	names  map[string]bool
	bytes  int
	isFull bool
}

// add adds the files in a JSON array. It returns false if that is no list of files, or there is no room.
func (s *fileSet) add(list []byte) bool {
	return len(list) > 0 && list[0] == '[' && eachElement(list, func(element []byte) bool {
		if element[0] != '"' {
			return false
		}
		file := unquote(element)
		if s.names[string(file)] {
			return true
		}
		s.bytes += len(file)
		s.isFull = len(s.names) == postern.MaxChangedFiles || s.bytes > postern.MaxChangedFilesBytes
		if s.isFull || !naming.IsCleanPath(string(file)) {
			return false
		}
		s.names[string(file)] = true
		return true
	})
}

// totalOf returns a number of commits; -1 if the value is none.
func totalOf(value rawValue) int {
	total, err := strconv.Atoi(string(value))
	if err != nil {
		return -1
	}
	return total
}
