// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package ui

import "os/exec"

// detach does nothing: the browser that runs already opens the page.
func detach(*exec.Cmd) {}
