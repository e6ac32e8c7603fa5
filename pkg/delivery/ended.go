// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import "context"

// checkContext returns the answer to a request that has ended, because its client has left or its time is up, and nil while it goes
// on. It is asked before each stage that takes much of a processor, or of others' time: nobody reads what they would tell,
// and nothing has begun that must come to an end.
func checkContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return answerUnavailable("the request ended before the delivery was carried out", err)
	}
	return nil
}
