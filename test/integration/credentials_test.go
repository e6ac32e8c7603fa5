// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // to test that it is rejected
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// guarded creates a namespace with the GatewaySyncs web and other. RBAC permits unauthenticated senders to deliver to
// all of its objects. It waits until one of the secrets is accepted for web, and returns an unauthenticated sender.
func guarded(t *testing.T, secrets map[string]string, known proof) (*world, sender) {
	t.Helper()
	w := newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("other")
	w.secret(secrets)
	w.allow(unauthenticated, "gatewaysyncs")
	anonymous := w.anonymous()
	w.untilAccepted(anonymous, gatewaySyncPath("web"), known)
	return w, anonymous
}

// sha1Signature returns GitHub's X-Hub-Signature, which accompanies the SHA-256 one.
func sha1Signature(secret, body string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(body))
	digits := hex.EncodeToString(mac.Sum(nil))
	signatures.remember(digits)
	return "sha1=" + digits
}

func TestSignature_OverExactBytes(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))

	d := anonymous.mustPost(t, gatewaySyncPath("web"), unusualBody, signed(secret, unusualBody),
		http.StatusAccepted).delivery(t)
	w.checkRequested("web", "v2.0.0", "generic")
	if diff := cmp.Diff(&v1alpha1.Sender{Name: "system:anonymous", Method: "HMAC"}, d.Status.Sender); diff != "" {
		t.Error(diff)
	}
}

func TestSignature_HeadersOfAnySender(t *testing.T) {
	secret := newSecret()
	_, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))

	const body = `{"ref":"v1"}`
	signature := sign(secret, body)
	digits := strings.TrimPrefix(signature, "sha256=")
	for name, header := range map[string]map[string]string{
		"GitHub":             {"X-Hub-Signature-256": signature},
		"GitHub, with SHA-1": {"X-Hub-Signature-256": signature, "X-Hub-Signature": sha1Signature(secret, body)},
		"Bitbucket":          {"X-Hub-Signature": signature},
		"Gitea":              {"X-Gitea-Signature": digits},
		"Forgejo":            {"X-Forgejo-Signature": digits},
		"upper-case digits":  {"X-Hub-Signature-256": "sha256=" + strings.ToUpper(digits)},
	} {
		got := anonymous.mustPost(t, gatewaySyncPath("web"), body, header, http.StatusAccepted).delivery(t)
		if got.Status.Sender.Method != "HMAC" {
			t.Errorf("%s: got method %s, want HMAC", name, got.Status.Sender.Method)
		}
	}
}

// wrongProofs returns attempts of a sender that does not know the secret, or has signed another body with it.
func wrongProofs(secret, body string) map[string]map[string]string {
	right, ofAnother := sign(secret, body), sign(secret, body+" ")
	digits := strings.TrimPrefix(right, "sha256=")
	return map[string]map[string]string{
		"nothing":                   {},
		"another secret":            {"X-Hub-Signature-256": sign(newSecret(), body)},
		"signature of another body": {"X-Hub-Signature-256": ofAnother},
		"signature of another body in caps": {"X-Hub-Signature-256": "sha256=" +
			strings.ToUpper(strings.TrimPrefix(ofAnother, "sha256="))},
		"one digit short":                {"X-Hub-Signature-256": right[:len(right)-1]},
		"half of it":                     {"X-Hub-Signature-256": "sha256=" + digits[:len(digits)/2]},
		"one digit more":                 {"X-Hub-Signature-256": right + "0"},
		"no digits":                      {"X-Hub-Signature-256": "sha256="},
		"empty":                          {"X-Hub-Signature-256": ""},
		"not hexadecimal":                {"X-Hub-Signature-256": "sha256=" + strings.Repeat("xy", 32)},
		"no algorithm":                   {"X-Hub-Signature-256": digits},
		"another algorithm":              {"X-Hub-Signature-256": "sha512=" + digits},
		"SHA-1":                          {"X-Hub-Signature": sha1Signature(secret, body)},
		"SHA-1 in the header of SHA-256": {"X-Hub-Signature-256": sha1Signature(secret, body)},
		"SHA-1 labeled as SHA-256": {"X-Hub-Signature-256": "sha256=" +
			strings.TrimPrefix(sha1Signature(secret, body), "sha1=")},
		"the secret itself":                 {"X-Hub-Signature-256": secret},
		"the secret of signatures as token": {"X-Webhook-Token": secret},
		"the secret as bearer token":        {"Authorization": "Bearer " + secret},
	}
}

func TestSignature_WrongIsRejectedForAnyTarget(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))

	const body = `{"ref":"v1"}`
	for name, header := range wrongProofs(secret, body) {
		existing := anonymous.mustPost(t, gatewaySyncPath("web"), body, header, http.StatusUnauthorized)
		missing := anonymous.mustPost(t, gatewaySyncPath("missing"), body, header, http.StatusUnauthorized)
		if status := existing.status(t); status.Kind != "Status" || status.Reason != metav1.StatusReasonUnauthorized ||
			status.Message == "" {
			t.Errorf("%s: got %s, want a Status that says Unauthorized", name, existing.body)
		}
		if !bytes.Equal(existing.body, missing.body) {
			t.Errorf("%s: the answer reveals whether the target exists:\n%s\n%s", name, existing.body, missing.body)
		}
		if diff := cmp.Diff(revealing(existing.header), revealing(missing.header)); diff != "" {
			t.Errorf("%s: the headers of the answer reveal whether the target exists:\n%s", name, diff)
		}
	}
	if got := w.annotations(gatewaySyncs, "web"); len(got) > 0 {
		t.Errorf("a rejected delivery was written: %v", got)
	}
	if got := w.records(); len(got) > 0 {
		t.Errorf("there are records of rejected deliveries: %v", got)
	}
}

// revealing returns the headers that could depend on the request: all that are not unique to each answer.
func revealing(h http.Header) http.Header {
	h = h.Clone()
	h.Del("Date")
	h.Del("Audit-Id")
	return h
}

func TestAnswer_404OnlyWithSecret(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))

	const body = `{"ref":"v1"}`
	status := anonymous.mustPost(t, gatewaySyncPath("missing"), body, signed(secret, body),
		http.StatusNotFound).status(t)
	if status.Reason != metav1.StatusReasonNotFound || !strings.Contains(status.Message, "missing") {
		t.Errorf("got %+v, want NotFound that names the target", status)
	}
	if got := w.records(); len(got) > 0 {
		t.Errorf("there are records of deliveries to nothing: %v", got)
	}
}
