// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// newReceiverSuite starts a Postern with the classic receiver over plain HTTP, and returns an unauthenticated sender to
// it. Other tests cover TLS.
func newReceiverSuite(t *testing.T, namespaces string, env ...string) (*suite, sender) {
	t.Helper()
	s := newSuiteWith(t, controlplane.PosternOptions{
		Env: env, Flags: []string{"--enable-webhook", "--webhook-namespaces=" + namespaces, "--disable-tls"},
	})
	return s, sender{Sender: testcluster.Sender{Client: &http.Client{}, Base: "http://" + s.postern.ReceiverAddress() +
		"/"}}
}

// byAuthorization sends a plain secret, as Harbor and Azure Container Registry do. byBearer sends a bearer token, as
// all other senders do.
func byAuthorization(secret string) proof { return byToken("Authorization", secret) }
func byBearer(secret string) proof        { return byToken("Authorization", "Bearer "+secret) }

// mustAnswer fails the test unless the answer is this line of JSON.
func (a answer) mustAnswer(t *testing.T, code int, body string) {
	t.Helper()
	if got := strings.TrimSuffix(string(a.body), "\n"); a.code != code || got != body {
		t.Errorf("got  %d %s\nwant %d %s", a.code, got, code, body)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("got Content-Type %q", got)
	}
}

// mustBeError fails the test unless the answer is an error in the receiver's format with these words.
func (a answer) mustBeError(t *testing.T, code int, words string) {
	t.Helper()
	var reply struct{ Error string }
	a.decode(t, &reply)
	if a.code != code || !strings.Contains(reply.Error, words) || reply.Error == "" {
		t.Errorf("got %d %s; want %d and an error with %q", a.code, a.body, code, words)
	}
}

func TestReceiver_LikeStokerReceiver(t *testing.T) {
	s, anonymous := newReceiverSuite(t, "*")
	w := s.newWorld(t)
	hmacSecret, token := newSecret(), newSecret()
	w.secret(map[string]string{"hmac": hmacSecret, "token": token})
	pathTo := func(name string) string { return "webhook/" + w.Namespace + "/" + name }
	w.untilAccepted(anonymous, pathTo("none"), bySignature(hmacSecret))

	for name, tc := range map[string]struct {
		body   string
		proof  proof
		by     string
		method string
	}{
		"github":  {`{"action":"published","release":{"tag_name":"2.0.0"}}`, bySignature(hmacSecret), "github", "HMAC"},
		"argocd":  {`{"app":{"metadata":{"annotations":{"git.ref":"2.0.0"}}}}`, byBearer(token), "argocd", "Token"},
		"kargo":   {`{"freight":{"commits":[{"tag":"2.0.0"}]}}`, byBearer(token), "kargo", "Token"},
		"generic": {`{"ref":"2.0.0"}`, byAuthorization(token), "generic", "Token"},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			w.gatewaySync(name)
			anonymous.mustPost(t, pathTo(name), tc.body, tc.proof(tc.body), http.StatusAccepted).
				mustAnswer(t, http.StatusAccepted, `{"accepted":true,"ref":"2.0.0"}`)
			w.checkRequested(name, "2.0.0", tc.by)

			before := w.Get(gatewaySyncs, name)
			anonymous.mustPost(t, pathTo(name), tc.body, tc.proof(tc.body), http.StatusAccepted).
				mustAnswer(t, http.StatusAccepted, `{"accepted":true,"ref":"2.0.0","message":"ref already set"}`)
			w.mustBeUntouched(gatewaySyncs, before)

			for _, record := range w.records() {
				if record.Spec.Target.Name != name {
					continue
				}
				if diff := cmp.Diff(&v1alpha1.Sender{Name: "system:anonymous", Method: tc.method},
					record.Status.Sender); diff != "" {
					t.Errorf("%s: sender (-want +got):\n%s", record.Name, diff)
				}
				if record.Status.AuditID != "" {
					t.Errorf("%s has the audit ID %q, but the audit log does not have it", record.Name,
						record.Status.AuditID)
				}
			}
		})
	}
	t.Run("an invalid payload leaves no annotation", func(t *testing.T) {
		w := w.in(t)
		w.gatewaySync("invalid")
		for _, body := range []string{`{"foo":"bar"}`, `not JSON`, `{"ref":""}`, `{"ref":"a..b"}`} {
			anonymous.mustPost(t, pathTo("invalid"), body, bySignature(hmacSecret)(body), http.StatusBadRequest).
				mustBeError(t, http.StatusBadRequest, "")
		}
		if got := w.annotations(gatewaySyncs, "invalid"); len(got) > 0 {
			t.Errorf("the target has annotations: %v", got)
		}
	})
	t.Run("a webhook without a request is accepted", func(t *testing.T) {
		w := w.in(t)
		w.gatewaySync("ping")
		header := bySignature(hmacSecret)(useless)
		header["X-GitHub-Event"] = "ping"
		anonymous.mustPost(t, pathTo("ping"), useless, header, http.StatusAccepted).
			mustAnswer(t, http.StatusAccepted, `{"accepted":true,"message":"GitHub tests the webhook"}`)
		if got := w.annotations(gatewaySyncs, "ping"); len(got) > 0 {
			t.Errorf("the target has annotations: %v", got)
		}
	})
	t.Run("other senders are rejected", func(t *testing.T) {
		w := w.in(t)
		w.gatewaySync("closed")
		const body = `{"ref":"3.0.0"}`
		for name, p := range map[string]proof{
			"nothing": noProof, "another secret": bySignature(newSecret()), "another token": byBearer(newSecret()),
			"the HMAC key as a token": byBearer(hmacSecret), "in the query": noProof,
		} {
			for _, target := range []string{"closed", "missing"} {
				path := pathTo(target)
				if name == "in the query" {
					path += "?secret=" + token
				}
				got := anonymous.mustPost(t, path, body, p(body), http.StatusUnauthorized)
				got.mustBeError(t, http.StatusUnauthorized, "or Authorization")
			}
		}
		if got := w.annotations(gatewaySyncs, "closed"); len(got) > 0 {
			t.Errorf("the target has annotations: %v", got)
		}
		anonymous.mustPost(t, pathTo("missing"), body, byBearer(token)(body), http.StatusNotFound).
			mustBeError(t, http.StatusNotFound, `"missing" not found`)
		large := `{"ref":"` + strings.Repeat("a", 1<<20) + `"}`
		anonymous.mustPost(t, pathTo("closed"), large, nil, http.StatusRequestEntityTooLarge).
			mustBeError(t, http.StatusRequestEntityTooLarge, "--max-payload-bytes")
	})
	t.Run("policies apply", func(t *testing.T) {
		w := w.in(t)
		w.gatewaySync("policed")
		w.policy("ValidatingAdmissionPolicy", onlyVersions, "validationActions: [Deny]")
		const body = `{"ref":"main"}`
		w.eventually(func() error {
			got, err := anonymous.post(t.Context(), pathTo("policed"), []byte(body), byBearer(token)(body))
			return errors.Join(err, answeredWith(http.StatusUnprocessableEntity)(got))
		})
	})
	t.Run("only POST is served", func(t *testing.T) {
		for path, want := range map[string]int{pathTo("plant"): 405, "webhook": 405, "healthz": 200, "": 404} {
			got, err := anonymous.send(t.Context(), http.MethodGet, path, http.NoBody, nil)
			if err != nil || got.code != want {
				t.Errorf("GET /%s: got %d, %v; want %d", path, got.code, err, want)
			}
			if allow := got.header.Get("Allow"); want == 405 && allow != "POST" {
				t.Errorf("GET /%s: Allow is %q", path, allow)
			}
		}
	})
}

// arrivals is the receiver's answer to a webhook by type.
type arrivals struct {
	Accepted   bool
	Message    string
	Deliveries []struct{ Delivery, Phase, Message, Error string }
}

func (a arrivals) phase() (phase string, err error) {
	if !a.Accepted || len(a.Deliveries) != 1 {
		return "", fmt.Errorf("got %+v, want one delivery", a)
	}
	return a.Deliveries[0].Phase, nil
}
