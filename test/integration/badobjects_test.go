// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// creator creates a ServiceAccount that may create deliveries as objects, and returns a sender with its token.
func (w *world) creator() sender {
	w.T.Helper()
	subject, token := w.serviceAccount("creator")
	w.Grant(subject, "create", "webhookdeliveries")
	s := w.sender(token)
	w.untilAnswered(http.StatusUnprocessableEntity, s, "webhookdeliveries", object(``),
		map[string]string{"Content-Type": "application/json"})
	return s
}

// object returns a delivery to web as a client writes it, in JSON. more is appended to its spec.
func object(more string) string {
	return `{"apiVersion":"postern.dev/v1alpha1","kind":"WebhookDelivery","metadata":{"generateName":"d-"},` +
		`"spec":{"target":{"kind":"GatewaySync","name":"web"}` + more + `}}`
}

func raw(body string) string {
	return `,"rawPayload":"` + base64.StdEncoding.EncodeToString([]byte(body)) + `"`
}

func TestObject_TooLargeOrTooDeep(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	creator := w.creator()
	before, pid := w.Get(gatewaySyncs, "web"), w.postern.PID()

	const deep = 100_000
	nested := strings.Repeat(`{"ref":`, deep) + `"v1"` + strings.Repeat("}", deep)
	laughs := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 9), ","))
	}
	for _, test := range []struct {
		name, contentType, body string
		code                    int
	}{
		{"a byte over the limit", "application/json", object(raw(padded(mebibyte+1, true))), 422},
		{"20 MiB in base64", "application/json", object(raw(padded(20*mebibyte, true))), 413},
		{"20 MiB of JSON", "application/json", object(`,"payload":` + padded(20*mebibyte, true)), 413},
		{"20 MiB of YAML", "application/yaml", object(`,"payload":` + padded(20*mebibyte, true)), 415},
		{"deep JSON", "application/json", object(`,"payload":` + nested), 400},
		{"deep YAML", "application/yaml", object(`,"payload":` + nested), 415},
		{"deep raw payload", "application/json", object(raw(nested)), 400},
		{"YAML that grows", "application/yaml", laughs + object(``), 415},
		{"payload with a name twice", "application/json", object(`,"payload":{"ref":"v1","ref":"v2"}`), 400},
		{"payload with a name twice, once escaped", "application/json",
			object(`,"payload":{"ref":"v1","\u0072ef":"v2"}`), 400},
		{"payload that is not an object", "application/json", object(`,"payload":["v1"]`), 400},
		{"raw payload that is not base64", "application/json", object(`,"rawPayload":"v1!"`), 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := creator.mustPost(t, "webhookdeliveries", test.body,
				map[string]string{"Content-Type": test.contentType}, test.code)
			if status := got.status(t); status.Kind != "Status" || status.Reason == "" || status.Message == "" {
				t.Errorf("got %+v, want a Status with a reason", status)
			}
		})
	}
	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords()
	if w.postern.PID() != pid || !w.postern.Running() {
		t.Fatalf("Postern has ended: %s", w.postern.LogTail())
	}
	exact := object(raw(padded(mebibyte, true)))
	creator.mustPost(t, "webhookdeliveries", exact, map[string]string{"Content-Type": "application/json"},
		http.StatusCreated)
	w.checkRequested("web", "v1", "generic")
}
