// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import "testing"

// Whoever may list CustomResourceDefinitions gets along without what is tested here; a CI job may not.
func TestKubectlCreatesForWhoMayDoNothingElse(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.creator()
	creator := "--as=system:serviceaccount:" + w.namespace + ":creator"

	said := w.kubectl(delivery("by-ci", toWeb+", ref: v1.2.0"), "create", "--filename=-", creator)

	if want := "webhookdelivery.postern.dev/by-ci created\n"; said != want {
		t.Errorf("kubectl said %q, want %q", said, want)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1.2.0")
	mustBeIn(t, w.refused(delivery("typo", toWeb+", reff: v1.2.0"), "create", "--filename=-", creator), `unknown field "spec.reff"`)
}
