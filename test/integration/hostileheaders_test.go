// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/base64"
	"maps"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func TestHeaders_InvalidDeliveryID(t *testing.T) {
	releaser, check := unharmed(t)
	push := payload(t, "github/push-branch.json")
	for name, id := range map[string]string{
		"129 characters": strings.Repeat("x", 129),
		"64 KiB":         strings.Repeat("x", 64<<10),
		"with a tab":     "a\tb",
		"not ASCII":      "caf\u00e9",
		"not UTF-8":      "\xff",
	} {
		t.Run(name, func(t *testing.T) {
			releaser.mustBeRefused(t, push.with(map[string]string{"X-Github-Delivery": id}), http.StatusBadRequest,
				metav1.StatusReasonBadRequest, "X-GitHub-Delivery must be at most 128 printable ASCII characters")
		})
	}
	check()
}

func TestHeaders_TooLarge(t *testing.T) {
	releaser, check := unharmed(t)
	header := map[string]string{"X-Github-Event": "push", "X-Github-Delivery": strings.Repeat("x", 2<<20)}
	got, err := releaser.post(t.Context(), gatewaySyncPath("web"), []byte(anyBody), header)
	// The kube-apiserver rejects it with an answer over HTTP/1.1, or by closing the stream over HTTP/2.
	if err == nil && got.code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d, want 431: %s", got.code, got.body)
	}
	check()
}

func TestHeaders_SeveralEvents(t *testing.T) {
	releaser, check := unharmed(t)
	for _, events := range [][]string{{"push", "ping"}, {"ping", "push"}, {"push", "push"}, {"", "push"},
		{"push", ""}} {
		got := releaser.postHeaders(t, payload(t, "github/push-branch.json"), http.Header{"X-Github-Event": events})
		if got.code != http.StatusBadRequest {
			t.Errorf("X-GitHub-Event %q: got %d, want 400: %s", events, got.code, got.body)
			continue
		}
		if status := got.status(t); !strings.Contains(status.Message, "X-GitHub-Event") {
			t.Errorf("X-GitHub-Event %q: got %q, want the header's name in it", events, status.Message)
		}
	}
	check()
}

func TestHeaders_SeveralSignatures(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))
	right, wrong := sign(secret, anyBody), sign(newSecret(), anyBody)
	for _, values := range [][]string{{right, wrong}, {wrong, right}, {right, right}, {right + ", " + right}} {
		got := anonymous.postHeaders(t, request{body: anyBody}, http.Header{"X-Hub-Signature-256": values})
		if got.code != http.StatusUnauthorized {
			t.Errorf("%d values: got %d, want 401", len(values), got.code)
		}
	}
	w.mustHaveRecords()
}

// postHeaders posts to web with headers that may have several values.
func (s sender) postHeaders(t *testing.T, r request, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Base+gatewaySyncPath("web"),
		strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	maps.Copy(req.Header, header)
	got, err := s.do(req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestHeaders_UnknownEventIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	before := w.Get(gatewaySyncs, "web")
	for name, event := range map[string]string{
		"long":             strings.Repeat("push", 1000),
		"control sequence": "push\xc2\x9b31m",
		"not UTF-8":        "push\xff",
		"a list":           "ping, push",
	} {
		r := payload(t, "github/push-branch.json").with(map[string]string{
			"X-Github-Event": event, "X-Github-Delivery": strings.ReplaceAll(name, " ", "-"),
			"User-Agent": strings.Repeat("x", 10_000),
		})
		d := releaser.mustPost(t, gatewaySyncPath("web"), r.body, r.header, http.StatusAccepted).delivery(t)
		if d.Status.Phase != v1alpha1.DeliveryIgnored || d.Status.Reason != "EventIgnored" {
			t.Errorf("%s: got phase %s, reason %s; want Ignored, EventIgnored", name, d.Status.Phase, d.Status.Reason)
		}
		if kept := d.Spec.Headers["X-Github-Event"]; kept != "" && name != "a list" {
			t.Errorf("%s: the record has the event %q", name, kept)
		}
		if kept := d.Spec.Headers["User-Agent"]; kept != "" {
			t.Errorf("%s: the record has a User-Agent of %d bytes", name, len(kept))
		}
		if len(d.Status.Message) > 200 {
			t.Errorf("%s: the message has %d bytes", name, len(d.Status.Message))
		}
	}
	w.mustBeUntouched(gatewaySyncs, before)
}

func TestHeaders_ContradictingSource(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	before := w.Get(gatewaySyncs, "web")
	// As a generic payload, the deletion of a branch would deploy it.
	deletion := payload(t, "github/push-branch-deleted.json")
	raw := base64.StdEncoding.EncodeToString([]byte(deletion.body))
	for spec, want := range map[string]string{
		"source: generic, headers: {X-GitHub-Event: push}, rawPayload: " + raw: "the headers are from github",
		"source: generic, rawPayload: " + raw:                                  "not what generic sends",
		"source: generic, payload: " + deletion.body:                           "not what generic sends",
		"source: kargo, headers: {X-GitHub-Event: push}, rawPayload: " + raw:   "the headers are from github",
		`source: github, payload: {"ref": "v1"}`:                               "not what github sends",
		`source: argocd, payload: {"ref": "v1"}`:                               "not what argocd sends",
		`source: Generic, payload: {"ref": "v1"}`:                              "Unsupported value",
	} {
		mustBeIn(t, w.refused(delivery("claim", toWeb+", "+spec), "create", "--filename=-"), want)
	}
	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords()
}
