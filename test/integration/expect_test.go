// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
)

// overHTTP1 returns the sender with HTTP/1.1, over which it waits for 100 Continue if a request asks for it.
func (w *world) overHTTP1(s sender) sender {
	w.T.Helper()
	config, err := w.AnonymousConfig()
	if err != nil {
		w.T.Fatal(err)
	}
	certificates, err := rest.TLSConfigFor(config)
	if err != nil {
		w.T.Fatal(err)
	}
	certificates.NextProtos = []string{"http/1.1"}
	transport := &http.Transport{TLSClientConfig: certificates, ExpectContinueTimeout: time.Minute}
	w.T.Cleanup(transport.CloseIdleConnections)
	s.Client = &http.Client{Transport: transport}
	return s
}

// expecting posts with Expect: 100-continue, and reports whether 100 Continue was received.
func (s sender) expecting(t *testing.T, path, body string, header map[string]string) (got answer, continued bool) {
	t.Helper()
	trace := &httptrace.ClientTrace{Got100Continue: func() { continued = true }}
	header = maps.Clone(header)
	header["Expect"] = "100-continue"
	req, err := s.NewRequest(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, path,
		strings.NewReader(body), header)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = s.do(req); err != nil {
		t.Fatal(err)
	}
	return got, continued
}

// .NET, PowerShell and older curl send it with every body. A server may answer without 100 Continue where it does not
// need the body, and then may close the connection.
func TestExpect_ContinueDoesNotChangeAnswer(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.secret(map[string]string{"hmac": newSecret()})
	w.allow(unauthenticated, "gatewaysyncs")
	subject, token := w.serviceAccount("objects")
	w.Grant(subject, "create", "webhookdeliveries")
	ci, objects, anonymous := w.overHTTP1(w.ci()), w.overHTTP1(w.sender(token)), w.overHTTP1(w.anonymous())
	large := `{"ref": "v1", "pad": "` + strings.Repeat("x", 2<<20) + `"}`
	object := `{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery", "metadata": {"generateName": "a-"}, ` +
		`"spec": %s}`
	signed := map[string]string{"X-Hub-Signature-256": "sha256=" + strings.Repeat("0", 64)}
	unsigned := map[string]string{"Content-Type": "application/json"}
	withoutBody := []int{http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}
	for _, test := range []struct {
		name   string
		sender sender
		path   string
		body   string
		header map[string]string
		want   int
	}{
		{"understood", ci, gatewaySyncPath("web"), `{"ref": "v1"}`, unsigned, http.StatusAccepted},
		{"invalid", ci, gatewaySyncPath("web"), `{"nothing": 1}`, unsigned, http.StatusBadRequest},
		{"not found", ci, gatewaySyncPath("absent"), `{"ref": "v1"}`, unsigned, http.StatusNotFound},
		{"too large", ci, gatewaySyncPath("web"), large, unsigned, http.StatusRequestEntityTooLarge},
		{"not verified", anonymous, gatewaySyncPath("web"), `{"ref": "v1"}`, signed, http.StatusUnauthorized},
		{"not allowed", anonymous, applicationPath("web"), `{"ref": "v1"}`, unsigned, http.StatusForbidden},
		{"an object", objects, "webhookdeliveries", fmt.Sprintf(object, `{"ref": "v1", `+
			`"target": {"kind": "GatewaySync", "name": "web"}}`), unsigned, http.StatusCreated},
		{"an invalid object", objects, "webhookdeliveries", fmt.Sprintf(object, `{}`), unsigned,
			http.StatusUnprocessableEntity},
		{"YAML", objects, "webhookdeliveries", "a: b", map[string]string{"Content-Type": "application/yaml"},
			http.StatusUnsupportedMediaType},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.in(t)
			var plain answer
			w.eventually(func() (err error) { // roles take effect with a delay
				plain, err = test.sender.post(t.Context(), test.path, []byte(test.body), test.header)
				if err == nil && plain.code != test.want {
					err = fmt.Errorf("got %d, want %d: %.300s", plain.code, test.want, plain.body)
				}
				return err
			})
			got, continued := test.sender.expecting(t, test.path, test.body, test.header)
			if got.code != test.want || !continued && !slices.Contains(withoutBody, test.want) {
				t.Errorf("got %d, want %d; 100 Continue: %t", got.code, test.want, continued)
			}
			names := func(a answer) []string {
				return slices.DeleteFunc(slices.Sorted(maps.Keys(a.header)), func(name string) bool {
					return name == "Connection"
				})
			}
			if diff := cmp.Diff(names(plain), names(got)); diff != "" {
				t.Errorf("headers (-without +with):\n%s", diff)
			}
			if !json.Valid(got.body) {
				t.Errorf("the body is not JSON: %.200q", got.body)
			}
		})
	}
}
