// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// every does something again and again until ctx is done. That it fails is logged once until it works again: while the
// storage is away, that is said often enough elsewhere.
func every(ctx context.Context, interval time.Duration, failure string, do func(context.Context) error) {
	failed := false
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := do(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, failure)
		}
		failed = err != nil
	}, interval)
}
