// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestRequireSecret_OffUntilConfigured(t *testing.T) {
	s := newSuite(t, "--webhook-require-secret=false")
	w := s.newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("other")
	w.allow(unauthenticated, "gatewaysyncs")
	anonymous := w.anonymous()
	w.untilAccepted(anonymous, gatewaySyncPath("web"), noProof)

	d := anonymous.mustPost(t, gatewaySyncPath("web"), anyBody, nil, http.StatusAccepted).delivery(t)
	if diff := cmp.Diff(&v1alpha1.Sender{Name: "system:anonymous", Method: "None"}, d.Status.Sender); diff != "" {
		t.Error(diff)
	}
	w.checkRequested("web", "v1", "generic")
	// A credential that is not required is ignored.
	anonymous.mustDeliver(t, "web", bySignature(newSecret()), "None")

	secret := newSecret()
	w.secret(map[string]string{"gatewaysyncs.web.hmac": secret})
	w.untilAccepted(anonymous, gatewaySyncPath("web"), bySignature(secret))
	w.untilRejected(anonymous, gatewaySyncPath("web"), noProof)
	anonymous.mustDeliver(t, "web", bySignature(secret), "HMAC")
	anonymous.mustBeRejected(t, "web", bySignature(newSecret()))
	anonymous.mustDeliver(t, "other", noProof, "None")

	log, err := os.ReadFile(s.postern.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "WARNING: --webhook-require-secret=false") {
		t.Error("Postern's log has no warning about --webhook-require-secret=false")
	}
}

func TestIdentityIsCredential_OffNeedsSecret(t *testing.T) {
	s := newSuite(t, "--identity-is-credential=false")
	w := s.newWorld(t)
	w.gatewaySync("web")
	subject, token := w.serviceAccount("releaser")
	w.allow(subject, "gatewaysyncs", "web")
	releaser := w.sender(token)
	w.untilRejected(releaser, gatewaySyncPath("web"), noProof)

	secret := newSecret()
	w.secret(map[string]string{"hmac": secret})
	w.untilAccepted(releaser, gatewaySyncPath("web"), bySignature(secret))
	releaser.mustBeRejected(t, "web", noProof)
	releaser.mustBeRejected(t, "web", bySignature(newSecret()))
	if got := w.annotations(gatewaySyncs, "web"); len(got) > 0 {
		t.Errorf("a rejected delivery was written: %v", got)
	}
	d := releaser.mustPost(t, gatewaySyncPath("web"), anyBody, signed(secret, anyBody), http.StatusAccepted).delivery(t)
	want := &v1alpha1.Sender{Name: "system:serviceaccount:" + w.Namespace + ":releaser", Method: "HMAC"}
	if diff := cmp.Diff(want, d.Status.Sender); diff != "" {
		t.Error(diff)
	}
	// RBAC still applies first.
	releaser.mustPost(t, gatewaySyncPath("other"), anyBody, signed(secret, anyBody), http.StatusForbidden)

	for _, source := range w.sources() {
		if methods := source.Status.Methods; methods == nil || slices.Contains(methods, "ServiceAccount") {
			t.Errorf("%s has the methods %v", source.Name, methods)
		}
	}
}
