// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestDescribeEvent_OfImage(t *testing.T) {
	for host, want := range map[string]string{
		"ghcr.io": "harbor push 1.4.0 of ghcr.io/team/shop",
		"":        "harbor push 1.4.0 of team/shop",
	} {
		event := &v1alpha1.DeliveryEvent{
			Source: "harbor", Event: "push", Ref: "1.4.0",
			Image: &v1alpha1.ImageReference{Host: host, Repository: "team/shop", Tag: "1.4.0"},
		}
		if got := describeEvent(event); got != want {
			t.Errorf("with the registry %q got %q, want %q", host, got, want)
		}
	}
}
