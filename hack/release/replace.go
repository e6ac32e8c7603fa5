// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// publicImage is the image that chart and manifests name in the repository.
const publicImage = "ghcr.io/postern-dev/postern"

// replaceOnly replaces the only occurrence of a text. Comments and all else stay as they are.
func replaceOnly(text, old, replacement string) (string, error) {
	if count := strings.Count(text, old); count != 1 {
		return "", fmt.Errorf("%q occurs %d times, and not once", old, count)
	}
	return strings.Replace(text, old, replacement, 1), nil
}
