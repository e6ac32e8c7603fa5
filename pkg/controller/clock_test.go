// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import "time"

// advance lets time pass in a bubble of testing/synctest, where that takes none.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // it is not the clock on the wall
}
