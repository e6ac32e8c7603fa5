// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import "time"

// advance lets time pass for all in the bubble of a test.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // it is not the clock on the wall
}
