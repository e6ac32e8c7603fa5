// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// TargetName returns a target as arguments name it: gatewaysync/plant. The server may know more kinds than we.
func TargetName(kind v1alpha1.TargetKind, name string) string {
	return strings.ToLower(string(kind)) + "/" + name
}

// ReceivedAt returns when a delivery was received.
func ReceivedAt(d *v1alpha1.WebhookDelivery) time.Time {
	if d.Status.ReceivedTime != nil {
		return d.Status.ReceivedTime.Time
	}
	return d.CreationTimestamp.Time
}

// ImageName returns an image with its registry, and without a version.
func ImageName(image *v1alpha1.ImageReference) string {
	if image.Host == "" {
		return image.Repository
	}
	return image.Host + "/" + image.Repository
}
