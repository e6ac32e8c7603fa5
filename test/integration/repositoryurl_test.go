// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"
)

// findLeaks also searches for the passwords of this test.
func TestPasswordInTheURLOfARepositoryIsDropped(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("shop", map[string]string{"postern.dev/update-target-revision": "true"})
	ci := w.ci()
	address := "https://mara:" + newSecret() + "@git.example.com/group/project.git"
	for _, body := range []string{
		`{"ref":"v1","repository":"` + address + `"}`,
		`{"freight":{"commits":[{"tag":"v2","repoURL":"` + address + `"}]}}`,
		`{"app":{"spec":{"source":{"repoURL":"` + address + `"}},"status":{"sync":{"revision":"` + commit + `"}}}}`,
		`{"ref":"refs/heads/main","after":"` + commit + `","repository":{"clone_url":"` + address + `"}}`,
	} {
		for _, path := range []string{gatewaySyncPath("web"), applicationPath("shop")} {
			d := ci.mustPost(t, path, body, nil, http.StatusAccepted).delivery(t)
			if got, want := d.Spec.Events[0].Repository, "https://git.example.com/group/project.git"; got != want {
				t.Errorf("got repository %q, want %q", got, want)
			}
		}
	}
	// An invalid URL is rejected, and not included in the answer.
	bad := `{"ref":"v1","repository":"https://mara:` + newSecret() + `%zz@git.example.com/x"}`
	got := ci.mustPost(t, gatewaySyncPath("web"), bad, nil, http.StatusBadRequest)
	if err := (place{name: "the answer", content: got.body}).leak(); err != nil {
		t.Error(err)
	}
}
