// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// The demo is the first command of the README. It needs bin/postern and bin/k8s, which "make test" builds.
func TestDemo_RunsToItsEnd(t *testing.T) {
	if err := demo(t.Context()); err != nil {
		t.Fatal(err)
	}
}
