// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// refsChanged is a push of branches to Bitbucket Data Center.
func refsChanged(branches ...string) (body string, header map[string]string) {
	var changes []string
	for _, name := range branches {
		changes = append(changes, fmt.Sprintf(`{"ref": {"id": "refs/heads/%s"}, "type": "UPDATE", "toHash": %q}`, name,
			commit))
	}
	return `{"eventKey": "repo:refs_changed", "repository": {"links": {"clone": [
		{"name": "http", "href": "https://bitbucket.example.com/scm/hw/lighthouse.git"}]}},
		"changes": [` + strings.Join(changes, ", ") + `]}`, map[string]string{"X-Event-Key": "repo:refs_changed"}
}

// lighthouseSync creates the GatewaySync web, which tracks a branch.
func (w *world) lighthouseSync(ref string) {
	w.T.Helper()
	w.Create(gatewaySyncs, strings.NewReplacer("https://github.com/example/plant.git",
		"https://bitbucket.example.com/scm/hw/lighthouse.git", "ref: main", "ref: "+ref).
		Replace(testcluster.GatewaySync("web")))
}

func TestNamedTarget_GetsTheRefThatItTracks(t *testing.T) {
	w := newWorld(t)
	w.lighthouseSync("release/1.1")
	ci := w.ci()
	body, header := refsChanged("release/1.1", "release/1.2", "main")

	got := ci.mustPost(t, gatewaySyncPath("web"), body, header, http.StatusAccepted).delivery(t)

	w.checkRequested("web", "release/1.1", "bitbucket-server")
	if len(got.Status.Targets) != 1 || got.Status.Targets[0].Ref != "release/1.1" {
		t.Errorf("got results %+v, want one of release/1.1", got.Status.Targets)
	}
	// By now it tracks another ref. A redelivery requests the same as before.
	w.deliver(delivery("v2", toWeb+", ref: v2"))
	w.concluded(got.Name)
	w.redeliver(got.Name)
	w.checkRequested("web", "release/1.1", "bitbucket-server")
}

func TestGatewaySync_SecondPushIsRequested(t *testing.T) {
	w := newWorld(t)
	w.lighthouseSync("v1")
	ci := w.ci()
	const old = "2020-01-01T00:00:00Z"
	second := strings.Repeat("5e", 20)
	body, header := refsChanged("main")
	for _, test := range []struct{ body, result string }{
		{body, "Written"}, {body, "Unchanged"}, {strings.ReplaceAll(body, commit, second), "Written"},
	} {
		before := w.annotated(gatewaySyncs, w.Get(gatewaySyncs, "web"), withAnnotation(w, requestedAt, old))
		got := ci.mustPost(t, gatewaySyncPath("web"), test.body, header, http.StatusAccepted).delivery(t)
		if result := string(got.Status.Targets[0].Result); result != test.result {
			t.Errorf("got %s, want %s", result, test.result)
		}
		if test.result == "Unchanged" {
			w.mustBeUntouched(gatewaySyncs, before)
			continue
		}
		w.checkRequested("web", "main", "bitbucket-server")
	}
	w.mustHold(gatewaySyncs, "web", "postern.dev/requested-revision", second)
}

// withAnnotation returns the annotations of GatewaySync web with one of them changed.
func withAnnotation(w *world, name, value string) map[string]string {
	w.T.Helper()
	annotations := map[string]string{name: value}
	for name, value := range w.annotations(gatewaySyncs, "web") {
		if _, changed := annotations[name]; !changed {
			annotations[name] = value
		}
	}
	return annotations
}

func TestGatewaySync_CommitNeedsConsent(t *testing.T) {
	w := newWorld(t)
	w.lighthouseSync("main")
	ci := w.ci()
	before := w.Get(gatewaySyncs, "web")
	body := `{"ref": "` + commit + `"}`

	got := ci.mustPost(t, gatewaySyncPath("web"), body, nil, http.StatusAccepted).delivery(t).Status
	if got.Phase != v1alpha1.DeliveryIgnored || got.Reason != "CommitNotAccepted" {
		t.Errorf("got %s, %s", got.Phase, got.Reason)
	}
	mustBeIn(t, got.Message, "postern.dev/accept-commits")
	w.mustBeUntouched(gatewaySyncs, before)

	w.annotated(gatewaySyncs, before, withAnnotation(w, "postern.dev/accept-commits", "true"))
	ci.mustPost(t, gatewaySyncPath("web"), body, nil, http.StatusAccepted)
	w.checkRequested("web", commit, "generic")
}
