// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "sigs.k8s.io/json"

// maxListItems is how many items of a list are read, of which MaxEvents may ask for something. The rest is what is
// ignored: refs that are gone, layers, events of other kinds.
const maxListItems = 1024

// list is an array in a payload that is read item by item. What an item takes in memory is many times what "{}" takes in a
// body, so every array in the types that payloads are decoded into is a list.
type list[T any] []T

// UnmarshalJSON counts the items before it makes any. It returns an *Error if there are too many.
func (l *list[T]) UnmarshalJSON(raw []byte) error {
	n := elements(raw)
	if n > maxListItems {
		return refuse(ErrorTooComplex,
			"the body has a list of %d items, of which at most %d are read: send fewer at once", n, maxListItems)
	}
	*l = make(list[T], 0, n)
	return json.UnmarshalCaseSensitivePreserveInts(raw, (*[]T)(l))
}

// rawValue is a value as it is in the body, of which it is a part.
type rawValue []byte

// UnmarshalJSON never fails.
func (v *rawValue) UnmarshalJSON(raw []byte) error {
	*v = raw
	return nil
}
