// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
)

// maxJitter is by how much, at most, a pause is lengthened, so that what failed together is not tried together.
const maxJitter = 0.2

// jittered lengthens the pauses of a rate limiter by chance.
type jittered struct {
	workqueue.TypedRateLimiter[string]
}

// When returns how long to wait before trying an item again.
func (j jittered) When(item string) time.Duration {
	return wait.Jitter(j.TypedRateLimiter.When(item), maxJitter)
}
