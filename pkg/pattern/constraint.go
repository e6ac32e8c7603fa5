// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"fmt"

	"github.com/Masterminds/semver/v3"
)

// MaxConstraintBytes bounds the text of a semver constraint, and with it the number of
// comparisons. It is far beyond what people write, and small enough to repeat in an
// error that is stored.
const MaxConstraintBytes = 256

// compileConstraint compiles a semver constraint, if it is short enough.
func compileConstraint(text string) (*semver.Constraints, error) {
	if len(text) > MaxConstraintBytes {
		return nil, tooLong("semver constraint", len(text), MaxConstraintBytes)
	}
	return semver.NewConstraint(text)
}

// tooLong is the error about a text that is not even parsed.
func tooLong(what string, bytes, most int) error {
	return fmt.Errorf("the %s has %d bytes, which is too long; at most %d are taken", what, bytes, most)
}
