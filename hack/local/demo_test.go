// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// It is the first thing that the README offers. It needs bin/postern and bin/k8s, as "make test" builds them.
func TestTheDemoPlaysToItsEnd(t *testing.T) {
	if err := demo(t.Context()); err != nil {
		t.Fatal(err)
	}
}
