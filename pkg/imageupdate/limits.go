// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

// Every owner of an Application may write what is read here, and it may be as
// large as etcd allows: tens of thousands of images in one annotation, each of
// which is held against tens of thousands that run. What nobody needs is cut off,
// so that one owner's object never costs the others more than an instant.
const (
	// maxImages bounds the images of a configuration.
	maxImages = 1000
	// maxPlaces bounds how often one image counts in a configuration.
	maxPlaces = 50
	// maxNotes bounds what there is to say about a configuration.
	maxNotes = 20
	// maxJoined bounds the images that are listed for people.
	maxJoined = 5
)

// full reports whether a configuration takes no more images, and notes that.
func (c *Config) full() bool {
	if len(c.Images) < maxImages {
		return false
	}
	c.note("only the first %d images count", maxImages)
	return true
}
