// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// The upgrade of a cluster to a version that serves MutatingAdmissionPolicies. Older ones do not serve them.
func TestAdmission_MutationServedLater(t *testing.T) {
	shared.RequireMutatingPolicies(t)
	c := testcluster.New(t, controlplane.Options{APIServerFlags: []string{
		"--runtime-config=admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false," +
			"admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings=false",
		"--disable-admission-plugins=MutatingAdmissionPolicy", // waits for them, as Postern must not
	}})
	s := &suite{Cluster: c, path: controlplane.Base}
	testcluster.AtEnd(t, s.endPostern)
	if err := s.install(testcluster.StartContext(t), controlplane.PosternOptions{}); err != nil {
		t.Fatal(err)
	}
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "release-v1"}`, nil, http.StatusAccepted)
	w.mustHold(gatewaySyncs, "web", requestedRef, "release-v1")
	log, err := os.ReadFile(s.postern.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "does not serve MutatingAdmissionPolicies"); n != 1 {
		t.Errorf("the log reports %d times that the policies are not served, want once: %s", n, s.postern.LogTail())
	}

	if err := c.RestartAPIServer(testcluster.StartContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitForPostern(testcluster.StartContext(t)); err != nil {
		t.Fatal(err)
	}
	w.policy("MutatingAdmissionPolicy", changes(stripPrefix), "")
	w.untilTried(ci, `{"ref": "release-v2"}`, tried("v2"))
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "release-v2"}`, nil, http.StatusAccepted)
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2")
}
