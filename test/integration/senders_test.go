// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// commit is the commit in most payloads.
const commit = "3f1c9a2b7d5e4f60819a2b3c4d5e6f708192a3b4"

// applying are payloads that request a ref.
var applying = []struct{ payload, ref, by string }{
	{"github/release-published.json", "v2.4.0", "github"},
	{"github/release-released.json", "v2.4.0", "github"},
	{"github/release-published-prerelease.json", "v2.5.0-rc.1", "github"},
	{"github/push-branch.json", "main", "github"},
	{"github/push-branch-with-slash.json", "feature/new-lens", "github"},
	{"github/push-lightweight-tag.json", "v2.4.0", "github"},
	{"github/push-annotated-tag.json", "v2.4.0", "github"},
	{"github/form-release.form", "v2.4.0", "github"},
	{"argocd/annotation-full.json", "v4.0.0", "argocd"},
	{"kargo/tag-full.json", "v5.0.0", "kargo"},
	{"kargo/branch.json", "release-7", "kargo"},
	{"generic/minimal.json", "v2.0.0", "generic"},
	{"generic/branch-full-name.json", "release/2", "generic"},
	{"generic/curl-default-content-type.json", "v1", "generic"},
}

// ignored are valid payloads that request nothing.
var ignored = []struct{ payload, reason string }{
	{"github/release-created.json", "ActionIgnored"},
	{"github/release-edited.json", "ActionIgnored"},
	{"github/release-prereleased.json", "ActionIgnored"},
	{"github/release-unpublished.json", "ActionIgnored"},
	{"github/release-deleted.json", "ActionIgnored"},
	{"github/release-draft.json", "Draft"},
	{"github/push-branch-deleted.json", "RefDeleted"},
	{"github/push-tag-deleted.json", "RefDeleted"},
	{"github/push-deleted-by-zeros-only.json", "RefDeleted"},
	{"github/form-push-deleted.form", "RefDeleted"},
	{"github/push-pull-request.json", "NotBranchOrTag"},
	{"github/create-branch.json", "RefCreated"},
	{"github/delete-branch.json", "RefDeleted"},
	{"github/ping.json", "Ping"},
	{"github/issues.json", "EventIgnored"},
	{"github/workflow-run.json", "NotPassed"}, {"github/deployment.json", "EventIgnored"},
}

// senderOf authenticates as a payload's sender: GitHub signs, the others have a ServiceAccount token.
type senderOf struct {
	secret                 string
	anonymous, withAccount sender
}

// senders creates a namespace and permits all senders to deliver to its objects.
func senders(t *testing.T) (*world, senderOf) {
	t.Helper()
	w := newWorld(t)
	s := senderOf{secret: newSecret(), anonymous: w.anonymous()}
	w.secret(map[string]string{"hmac": s.secret})
	w.allow(unauthenticated, "gatewaysyncs")
	w.allow(unauthenticated, "applications")
	s.withAccount = w.ci()
	for _, path := range []string{gatewaySyncPath("absent"), applicationPath("absent")} {
		w.untilAccepted(s.anonymous, path, bySignature(s.secret))
	}
	return w, s
}

// mustDeliver posts a payload, signed over the bytes as sent, and returns the delivery in the answer.
func (s senderOf) mustDeliver(t *testing.T, path string, r request) *v1alpha1.WebhookDelivery {
	t.Helper()
	from := s.withAccount
	if _, isGitHubs := r.header["X-Github-Event"]; isGitHubs {
		from, r = s.anonymous, r.with(map[string]string{"X-Hub-Signature-256": sign(s.secret, r.body)})
	}
	got := from.mustPost(t, path, r.body, r.header, http.StatusAccepted)
	if contentType := got.header.Get("Content-Type"); contentType != "application/json" {
		t.Errorf("got Content-Type %q, want JSON", contentType)
	}
	return got.delivery(t)
}

// nameFor converts the name of a payload to an object name.
func nameFor(payload string) string { return strings.NewReplacer("/", "-", ".", "-").Replace(payload) }

func TestSenders_RefToGatewaySync(t *testing.T) {
	w, s := senders(t)
	for _, test := range applying {
		t.Run(test.payload, func(t *testing.T) {
			w := w.in(t)
			name := nameFor(test.payload)
			w.gatewaySync(name)
			d := s.mustDeliver(t, gatewaySyncPath(name), payload(t, test.payload))
			// The message may go on with the commit, and with the repository if it is another one.
			message, _, _ := strings.Cut(d.Status.Message, "; ")
			if want := `stoker.io/requested-ref set to "` + test.ref + `"`; message != want {
				t.Errorf("got message %q, want %q", message, want)
			}
			checkApplied(t, d, test.by, v1alpha1.TargetResult{
				Kind: v1alpha1.TargetGatewaySync, Name: name, Ref: test.ref, PreviousRef: "main",
				Message: d.Status.Message, Changes: changesTo(test.ref, d),
			})
			w.checkRequested(name, test.ref, test.by)
		})
	}
}

// changesTo returns the changes that a request of a ref makes to a GatewaySync: the ref, and the commit if the payload
// has one.
func changesTo(ref string, d *v1alpha1.WebhookDelivery) []v1alpha1.FieldChange {
	changes := []v1alpha1.FieldChange{{Field: "stoker.io/requested-ref", New: ref}}
	for _, event := range d.Spec.Events {
		if event.Ref == ref && event.Revision != "" {
			field := v1alpha1.FieldChange{Field: "postern.dev/requested-revision", New: event.Revision}
			return append(changes, field)
		}
	}
	return changes
}

func TestSenders_RefToApplication(t *testing.T) {
	w, s := senders(t)
	for _, test := range applying {
		t.Run(test.payload, func(t *testing.T) {
			w := w.in(t)
			name := nameFor(test.payload)
			w.application(name, nil)
			d := s.mustDeliver(t, applicationPath(name), payload(t, test.payload))
			if d.Status.Phase != v1alpha1.DeliveryApplied || d.Spec.Source != test.by {
				t.Errorf("got phase %s from %s, want Applied from %s", d.Status.Phase, d.Spec.Source, test.by)
			}
			got := w.annotations(applications, name)
			want := map[string]string{
				"postern.dev/requested-ref": test.ref, "postern.dev/requested-by": test.by,
				"argocd.argoproj.io/refresh": "normal",
			}
			for key, value := range want {
				if got[key] != value {
					t.Errorf("%s: got %q, want %q", key, got[key], value)
				}
			}
		})
	}
}

// checkApplied fails the test unless the delivery's target was written.
func checkApplied(t *testing.T, d *v1alpha1.WebhookDelivery, by string, want v1alpha1.TargetResult) {
	t.Helper()
	if d.Status.Phase != v1alpha1.DeliveryApplied || d.Status.Reason != "Requested" || d.Spec.Source != by {
		t.Errorf("got phase %s, reason %s, source %s; want Applied, Requested, %s", d.Status.Phase, d.Status.Reason,
			d.Spec.Source, by)
	}
	if len(d.Status.Targets) != 1 {
		t.Fatalf("got targets %v, want one", d.Status.Targets)
	}
	got := d.Status.Targets[0]
	want.Result, want.Reason, want.UID, want.Time = v1alpha1.TargetWritten, "Requested", got.UID, got.Time
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSenders_NothingRequestedIsIgnored(t *testing.T) {
	w, s := senders(t)
	for _, test := range ignored {
		t.Run(test.payload, func(t *testing.T) {
			w := w.in(t)
			name := nameFor(test.payload)
			w.gatewaySync(name)
			before := w.Get(gatewaySyncs, name)
			d := s.mustDeliver(t, gatewaySyncPath(name), payload(t, test.payload))
			if d.Status.Phase != v1alpha1.DeliveryIgnored || d.Status.Reason != test.reason || d.Status.Message == "" {
				t.Errorf("got phase %s, reason %s (%s); want Ignored, %s", d.Status.Phase, d.Status.Reason,
					d.Status.Message, test.reason)
			}
			if len(d.Spec.Events) != 0 || len(d.Status.Targets) != 0 {
				t.Errorf("got events %v and targets %v, want none", d.Spec.Events, d.Status.Targets)
			}
			w.mustBeUntouched(gatewaySyncs, before)
		})
	}
}

func TestSenders_FormSignature(t *testing.T) {
	w, s := senders(t)
	w.gatewaySync("web")
	form := payload(t, "github/form-release.form")
	// A receiver that decodes before it verifies would verify the JSON inside of the form.
	inside := payload(t, "github/release-published.json")
	wrong := form.with(map[string]string{"X-Hub-Signature-256": sign(s.secret, inside.body)})
	s.anonymous.mustPost(t, gatewaySyncPath("web"), wrong.body, wrong.header, http.StatusUnauthorized)

	d := s.mustDeliver(t, gatewaySyncPath("web"), form)
	if d.Status.Payload.Bytes != int64(len(form.body)) {
		t.Errorf("got %d bytes, want the %d of the form", d.Status.Payload.Bytes, len(form.body))
	}
}

func TestSenders_HeadersAreKept(t *testing.T) {
	w, s := senders(t)
	w.gatewaySync("web")
	d := s.mustDeliver(t, gatewaySyncPath("web"), payload(t, "github/push-annotated-tag.json"))

	const id = "7f0e5c1a-4b1d-4f6e-9a51-0c2b1f6f1d11"
	if len(d.Spec.Events) != 1 {
		t.Fatalf("got events %v, want one", d.Spec.Events)
	}
	got := d.Spec.Events[0]
	want := v1alpha1.DeliveryEvent{
		Source: "github", Event: "push", Ref: "v2.4.0", RefType: v1alpha1.RefTypeTag, Revision: commit, DeliveryID: id,
		Repository: "https://github.com/harbour-works/lighthouse.git",
		SSHURL:     "git@github.com:harbour-works/lighthouse.git", Time: got.Time,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Time == nil || got.Time.UTC().Format("2006-01-02T15:04:05Z") != "2026-03-04T09:30:45Z" {
		t.Errorf("got time %v, want the time of the push", got.Time)
	}
	wantHeaders := map[string]string{
		"Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/0c9f1e2", "X-Github-Event": "push",
		"X-Github-Delivery": id,
	}
	if diff := cmp.Diff(wantHeaders, d.Spec.Headers); diff != "" {
		t.Error(diff)
	}
}

// findLeaks also searches for the passwords of this test.
func TestRepositoryURL_PasswordIsDropped(t *testing.T) {
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
