// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import "testing"

// Clients that may list CustomResourceDefinitions do not need the operation that this tests; a CI job may not list
// them.
func TestKubectlCreatesForWhoMayDoNothingElse(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.creator()
	creator := "--as=system:serviceaccount:" + w.namespace + ":creator"

	output := w.kubectl(delivery("by-ci", toWeb+", ref: v1.2.0"), "create", "--filename=-", creator)

	if want := "webhookdelivery.postern.dev/by-ci created\n"; output != want {
		t.Errorf("kubectl printed %q, want %q", output, want)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1.2.0")
	mustBeIn(t, w.refused(delivery("typo", toWeb+", reff: v1.2.0"), "create", "--filename=-", creator), `unknown field "spec.reff"`)
}
