// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"strings"
)

// Every owner of an Application may write what is read here, and it may be as
// large as etcd allows: tens of thousands of images in one annotation, each of
// which is held against tens of thousands that run. So everything is counted before
// it is worked on. Of what only adds images, the surplus is left out. Where more might
// have forbidden an update, as patterns do and what runs, nothing is updated, and the
// owner is told.
const (
	// maxImages bounds the images of a configuration.
	maxImages = 1000
	// maxEntriesPerImage bounds how often one image counts in a configuration.
	maxEntriesPerImage = 50
	// maxAlias bounds an alias, and maxReference a reference to an image, in bytes.
	maxAlias, maxReference = 128, 1024

	// maxConstraint bounds what follows the name of an image, in bytes.
	maxConstraint = 256
	// maxGlobs bounds the patterns in ignore-tags, and maxGlob each of them, in bytes.
	maxGlobs, maxGlob = 100, 128
	// maxSteps bounds how long the tags of one decision are matched with patterns: the
	// size of a pattern times the length of a tag, summed up. It is some 20 ms, and
	// enough for 50 aliases with patterns of 1000 instructions.
	maxSteps = 2_000_000

	// maxInUse bounds the images that a pushed one may replace at once.
	maxInUse = 100
	// maxOverrides bounds the entries of a list of overrides in a source.
	maxOverrides = 1000
	// maxSources bounds the sources of an Application.
	maxSources = 100

	// maxReferences bounds the references in all ImageUpdater objects of a namespace,
	// and maxSelectors those of them that have wildcards or labels, since these are
	// tried one after the other.
	maxReferences, maxSelectors = 5000, 500
	// maxTerms bounds the labels and their values in all selectors of a namespace.
	maxTerms = 2000
	// maxNamePattern bounds the pattern of a reference, in bytes.
	maxNamePattern = 256

	// maxNotes bounds what there is to say about a configuration.
	maxNotes = 20
	// maxJoined bounds the images that are listed for people.
	maxJoined = 5
	// maxQuoted bounds what is repeated of a text, in bytes.
	maxQuoted = 128
)

// budget is what the decision about one Application may still cost.
type budget struct {
	// owner is for whom patterns are compiled and kept: the namespace.
	owner string
	// remaining are those that are left.
	remaining int
	exhausted bool
}

func newBudget(owner string) *budget { return &budget{owner: owner, remaining: maxSteps} }

// spend reports whether so many steps may be taken. Once they may not, none may.
func (b *budget) spend(steps int) bool {
	if b.exhausted || steps > b.remaining {
		b.exhausted = true
		return false
	}
	b.remaining -= steps
	return true
}

// quoted quotes the beginning of a text.
func quoted(text string) string {
	if len(text) <= maxQuoted {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q…", strings.ToValidUTF8(text[:maxQuoted], ""))
}
