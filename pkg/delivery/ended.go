// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import "context"

// checkContext returns an error if the request has ended: its client has left or its deadline has passed. Stages that
// take much time call it first: no client would read their answer, and nothing has begun that must be completed.
func checkContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return answerUnavailable("the request ended before the delivery was executed", err)
	}
	return nil
}
