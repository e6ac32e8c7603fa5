// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"strings"
)

// Owners of Applications control this input, and it may be as large as etcd allows: tens of thousands of images in one
// annotation, each compared with tens of thousands of running images. Therefore everything is counted before it is
// processed. Surplus images are left out. Where surplus input might have forbidden an update, as patterns or running
// images do, nothing is updated and the owner gets a message.
const (
	// maxImages limits the images of a configuration.
	maxImages = 1000
	// maxEntriesPerImage limits the entries for one image in a configuration.
	maxEntriesPerImage = 50
	// maxAlias and maxReference limit an alias and an image reference, in bytes.
	maxAlias, maxReference = 128, 1024

	// maxConstraint limits the text after the name of an image, in bytes.
	maxConstraint = 256
	// maxGlobs limits the patterns in ignore-tags, and maxGlob the size of each, in bytes.
	maxGlobs, maxGlob = 100, 128
	// maxSteps limits the total cost of matching tags in one decision: the size of a pattern times the length of a tag,
	// summed up. It takes about 20 ms, and is enough for 50 aliases with patterns of 1000 instructions.
	maxSteps = 2_000_000

	// nameSteps is the cost of comparing two names, in the same unit.
	nameSteps = 300

	// maxInUse limits the images that a pushed image may replace at once.
	maxInUse = 100
	// maxOverrides limits the entries of a list of overrides in a source.
	maxOverrides = 1000
	// maxSources limits the sources of an Application.
	maxSources = 100

	// maxReferences limits the references in all ImageUpdater objects of a namespace. maxSelectors limits the
	// references with wildcards or labels, because they are tried one after the other.
	maxReferences, maxSelectors = 5000, 500
	// maxTerms limits the labels and their values in all selectors of a namespace.
	maxTerms = 2000
	// maxNamePattern limits the pattern of a reference, in bytes.
	maxNamePattern = 256

	// maxNotes limits the notes about a configuration.
	maxNotes = 20
	// maxJoined limits the images that are listed in a message.
	maxJoined = 5
	// maxQuoted limits the quoted part of a text, in bytes.
	maxQuoted = 128
)

// budget limits the cost of the decision about one Application.
type budget struct {
	// owner is the namespace that patterns are compiled and cached for.
	owner string
	// remaining is the number of steps left.
	remaining int
	exhausted bool
}

func newBudget(owner string) *budget { return &budget{owner: owner, remaining: maxSteps} }

// spend uses up steps and reports whether enough were left. After it returned false, it always returns false.
func (b *budget) spend(steps int) bool {
	if b.exhausted || steps > b.remaining {
		b.exhausted = true
		return false
	}
	b.remaining -= steps
	return true
}

// quoted quotes a text, truncated to maxQuoted bytes.
func quoted(text string) string {
	if len(text) <= maxQuoted {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q…", strings.ToValidUTF8(text[:maxQuoted], ""))
}
