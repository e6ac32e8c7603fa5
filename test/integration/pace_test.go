// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// A push refreshes one Application every five seconds. What names its target does not wait.
func TestPace_ApplicationsTakeTurns(t *testing.T) {
	w := newSuite(t, "--argocd-refreshes-per-second=0.2").newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.application(name, nil)
	}
	ci, github, path := w.ci(), w.trier(), sourcePath("github")
	event := map[string]string{"X-GitHub-Event": "push"}
	w.untilFound(github, path, request{body: pushOfMain(firstCommit), header: event},
		map[string]string{"a": written, "b": written, "c": written})
	before := w.Get(applications, "b")

	first := github.mustPost(t, path, pushOfMain(firstCommit), event, http.StatusAccepted).delivery(t)
	checkOutcome(t, first, v1alpha1.DeliveryPending, "Paced")
	mustHaveResults(t, first, map[string]string{"a": written, "b": "Pending Paced", "c": "Pending Paced"})
	w.mustBeUntouched(applications, before)
	second := ci.mustPost(t, applicationPath("c"), pushOfMain(secondCommit), event, http.StatusAccepted).delivery(t)
	checkOutcome(t, second, v1alpha1.DeliveryApplied, "Requested")

	first = w.concluded(first.Name)
	checkOutcome(t, first, v1alpha1.DeliveryApplied, "Requested")
	mustHaveResults(t, first, map[string]string{"a": written, "b": written, "c": "Superseded Superseded"})
	for name, commit := range map[string]string{"a": firstCommit, "b": firstCommit, "c": secondCommit} {
		w.mustRefresh(name, "its turn")
		w.mustHold(applications, name, "postern.dev/requested-revision", commit)
	}

	again := w.redeliver(first.Name)
	checkOutcome(t, again, v1alpha1.DeliveryApplied, "Requested")
	mustHaveResults(t, again, map[string]string{"a": written, "b": written, "c": written})
}

// pushOfMain returns GitHub's body for a push of the branch that testcluster.Application tracks.
func pushOfMain(commit string) string {
	return strings.Replace(push(commit), "refs/heads/release", "refs/heads/main", 1)
}

// mustHaveResults fails the test unless a delivery has these results, by target.
func mustHaveResults(t *testing.T, d *v1alpha1.WebhookDelivery, want map[string]string) {
	t.Helper()
	if err := sameResults(want, answer{body: mustJSON(t, d)}); err != nil {
		t.Fatal(err)
	}
}
