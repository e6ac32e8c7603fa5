// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

const (
	// costPerByte is for what is made of the text itself: copies of its strings, two where they have escapes, in each of the
	// layers that a body may have, and where its names and members are.
	costPerByte = 8
	// basicCost is for the items of lists, of which even small bodies may have maxListItems, and for MaxEvents events.
	basicCost = 512 << 10
)

// MaxDecodeCost returns the most bytes that Decode allocates for a body of so many bytes, whoever sent it and whatever is in
// it. Not all of them are in use at one time.
func MaxDecodeCost(bodyBytes int64) int64 { return basicCost + costPerByte*bodyBytes }
