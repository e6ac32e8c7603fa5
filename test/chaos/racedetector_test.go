// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package chaos

// raceDetector is true if the tests, and Postern in them, are built with the race detector.
const raceDetector = true
