// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package payload

// raceDetector reports whether the tests are built with the race detector.
const raceDetector = false
