// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// These share one control plane, because no other test traces or logs as JSON.
func TestTracing_SpansAndJSONLogs(t *testing.T) {
	spans := newCollector(t)
	s := newSuite(t, spans.flag(t), "--logging-format=json")
	t.Run("each stage of a delivery is traced", func(t *testing.T) { testStagesAreTraced(t, s, spans) })
	t.Run("a delivery that was created as an object is traced", func(t *testing.T) { testObjectIsTraced(t, s, spans) })
	t.Run("a resumed delivery is traced", func(t *testing.T) { testResumeIsTraced(t, s, spans) })
	t.Run("the trace of a sender is linked and not continued",
		func(t *testing.T) { testTraceOfASenderIsLinked(t, s, spans) })
	t.Run("no secret is in a trace", func(t *testing.T) { testNoSecretIsTraced(t, s, spans) })
	t.Run("each line of the log is JSON", func(t *testing.T) { testLogIsJSON(t, s) })
}

func testStagesAreTraced(t *testing.T, s *suite, spans *collector) {
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	got := ci.mustPost(t, gatewaySyncPath("web"), payload(t, "github/push-branch.json").body,
		map[string]string{"X-Github-Event": "push"}, http.StatusAccepted)
	name := got.delivery(t).Name

	span := spans.find(w, "Deliver", "postern.delivery", name)
	want := map[string]string{
		"postern.namespace": w.Namespace, "postern.source": "github", "postern.method": "ServiceAccount",
		"postern.delivery":    name,
		"postern.target.kind": "GatewaySync", "postern.target.name": "web", "postern.outcome": "Applied",
		"postern.reason": "Requested",
	}
	if diff := cmp.Diff(want, attributesOf(span)); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	all := spans.all()
	stages := childrenOf(all, span)
	if diff := cmp.Diff([]string{"admit", "decode", "record", "resolve", "verify", "write"}, stages); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	request := requestOf(all, span)
	const path = "POST /apis/postern.dev/v1alpha1/namespaces/{:namespace}/gatewaysyncs/{:name}/webhookdeliveries"
	if request.GetName() != path || attributesOf(request)["audit-id"] != got.header.Get("Audit-Id") {
		t.Errorf("the delivery belongs to %v", request)
	}
	write := all[slices.IndexFunc(all, func(s *tracev1.Span) bool {
		return s.GetName() == "write" && parentOf(all, s) == span
	})]
	if got := childrenOf(all, write); len(got) != 1 || got[0] != "HTTP PATCH" {
		t.Errorf("the write consists of %v", got)
	}
}

func testObjectIsTraced(t *testing.T, s *suite, spans *collector) {
	w := s.newWorld(t)
	w.gatewaySync("web")
	d := w.deliver(delivery("d", toWeb+", ref: v1"))

	span := spans.find(w, "Create", "postern.namespace", w.Namespace)
	got := attributesOf(span)
	if got["postern.delivery"] != d.Name || got["postern.outcome"] != "Applied" {
		t.Errorf("got the attributes %v", got)
	}
	children := childrenOf(spans.all(), span)
	for _, stage := range []string{"verify", "decode", "resolve", "record", "write"} {
		if !slices.Contains(children, stage) {
			t.Errorf("there is no %s among %v", stage, children)
		}
	}
}

func testResumeIsTraced(t *testing.T, s *suite, spans *collector) {
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	mend := w.breakOff(gatewaySyncs, "web")
	got := ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"v1"}`, nil, http.StatusAccepted)
	mend()
	d := w.untilRecorded(got.delivery(t).Name, v1alpha1.DeliveryApplied, "Requested")

	w.eventually(func() error {
		for _, span := range spans.all() {
			attributes := attributesOf(span)
			if span.GetName() == "Resume" && attributes["postern.delivery"] == d.Name &&
				attributes["postern.outcome"] == "Applied" {
				if attributes["audit-id"] != got.header.Get("Audit-Id") {
					t.Errorf("it has the audit ID %q", attributes["audit-id"])
				}
				return nil
			}
		}
		return fmt.Errorf("there is no span of the execution of %s", d.Name)
	})
}

// Otherwise any sender could have each of its requests traced, or add it to another client's traces.
func testTraceOfASenderIsLinked(t *testing.T, s *suite, spans *collector) {
	w := s.newWorld(t)
	w.gatewaySync("web")
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	got := w.ci().mustPost(t, gatewaySyncPath("web"), `{"ref":"v1"}`,
		map[string]string{"Traceparent": "00-" + trace + "-" + parent + "-01"}, http.StatusAccepted)

	span := spans.find(w, "Deliver", "postern.delivery", got.delivery(t).Name)
	request := requestOf(spans.all(), span)
	if traceOf(request) == trace || len(request.GetParentSpanId()) > 0 {
		t.Error("the sender's trace was continued")
	}
	if links := request.GetLinks(); len(links) != 1 || hex.EncodeToString(links[0].GetTraceId()) != trace {
		t.Errorf("the request is linked to %v", links)
	}
}

func testNoSecretIsTraced(t *testing.T, s *suite, spans *collector) {
	w := s.newWorld(t)
	w.gatewaySync("web")
	secret := newSecret()
	w.secret(map[string]string{"hmac": secret, "token": secret, "webhook.quay-secret": secret})
	w.allow(unauthenticated, "gatewaysyncs")
	w.allow(unauthenticated, "webhooksources")
	anonymous := w.anonymous()
	w.untilAccepted(anonymous, gatewaySyncPath("web"), bySignature(secret))

	push := payload(t, "github/push-branch.json")
	anonymous.mustPost(t, gatewaySyncPath("web"), push.body, push.with(signed(secret, push.body)).header,
		http.StatusAccepted)
	anonymous.mustPost(t, gatewaySyncPath("web"), anyBody, byToken("X-Webhook-Token", secret)(anyBody),
		http.StatusAccepted)
	anonymous.mustPost(t, gatewaySyncPath("web"), anyBody, byToken("X-Webhook-Token", secret+"x")(anyBody),
		http.StatusUnauthorized)
	anonymous.mustPost(t, "webhooksources/quay.io/webhookdeliveries?secret="+secret,
		payload(t, "quay.io/minimal.json").body, nil, http.StatusAccepted)
	last := anonymous.mustPost(t, gatewaySyncPath("web"), `{"ref":"last"}`, signed(secret, `{"ref":"last"}`),
		http.StatusAccepted)
	spans.find(w, "Deliver", "postern.delivery", last.delivery(t).Name)

	var content bytes.Buffer
	for _, span := range spans.all() {
		fmt.Fprintln(&content, span)
	}
	if err := (place{name: "a trace", content: content.Bytes(), stored: true,
		wantMarker: w.Namespace}).leak(); err != nil {
		t.Error(err)
	}
}

func testLogIsJSON(t *testing.T, s *suite) {
	log, err := os.ReadFile(s.postern.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	logged := map[string]int{}
	for line := range bytes.Lines(log) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // an incomplete line is still being written
		}
		if bytes.Contains(line, []byte("withrace.go")) {
			continue // k8s.io/component-base/cli logs the race detector before it parses flags
		}
		var entry struct {
			Msg string `json:"msg"`
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		logged[entry.Msg]++
	}
	for _, message := range []string{"Starting", "Delivered", "Rejected a delivery"} {
		if logged[message] == 0 {
			t.Errorf("the log does not have %q", message)
		}
	}
}
