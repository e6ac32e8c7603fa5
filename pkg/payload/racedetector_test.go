// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package payload

// raceDetector is whether the tests are built with the race detector. sync.Pool then drops some of what is put into it, so that
// package regexp allocates more.
const raceDetector = true
