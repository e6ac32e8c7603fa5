// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/test/testcluster"
)

// metrics returns Postern's metrics with the prefix.
func (s *suite) metrics(t *testing.T, prefix string) map[string]float64 {
	t.Helper()
	values, err := testcluster.ReadMetrics(t.Context(), s.postern.DirectConfig(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// apiServerMetrics returns the kube-apiserver's metrics with the prefix.
func (w *world) apiServerMetrics(prefix string) testcluster.Metrics {
	w.T.Helper()
	values, err := testcluster.ReadMetrics(w.T.Context(), w.RESTConfig(), prefix)
	if err != nil {
		w.T.Fatal(err)
	}
	return values
}

func growth(before, after map[string]float64) map[string]float64 {
	grown := map[string]float64{}
	for name, value := range after {
		if by := value - before[name]; by != 0 {
			grown[name] = by
		}
	}
	return grown
}

const deliveriesTotal = "postern_deliveries_total"

func countOf(source, method, outcome string) string {
	return deliveriesTotal + `{method="` + method + `",outcome="` + outcome + `",source="` + source + `"}`
}

func TestMetrics_DeliveriesBySourceMethodResult(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret, "token": secret}, bySignature(secret))
	_, releaser := w.releaser("web")

	before := w.metrics(t, deliveriesTotal)
	push := payload(t, "github/push-branch.json")
	ping := payload(t, "github/ping.json")
	for range 3 {
		anonymous.mustPost(t, gatewaySyncPath("web"), push.body, push.with(signed(secret, push.body)).header,
			http.StatusAccepted)
	}
	anonymous.mustPost(t, gatewaySyncPath("web"), ping.body, ping.with(signed(secret, ping.body)).header,
		http.StatusAccepted)
	anonymous.mustPost(t, gatewaySyncPath("web"), push.body, push.header, http.StatusUnauthorized)
	anonymous.mustPost(t, gatewaySyncPath("web"), anyBody, byToken("X-Webhook-Token", secret)(anyBody),
		http.StatusAccepted)
	anonymous.mustPost(t, gatewaySyncPath("web"), anyBody, nil, http.StatusUnauthorized)
	anonymous.mustPost(t, gatewaySyncPath("missing"), anyBody, signed(secret, anyBody), http.StatusNotFound)
	releaser.mustPost(t, gatewaySyncPath("web"), `{"ref":"v2"}`, nil, http.StatusAccepted)
	releaser.mustPost(t, gatewaySyncPath("web"), `{"ref":"a..b"}`, nil, http.StatusBadRequest)
	releaser.mustPost(t, gatewaySyncPath("other"), anyBody, nil, http.StatusForbidden) // by RBAC
	w.deliver(delivery("by-hand", toWeb+", ref: v3"))

	want := map[string]float64{
		countOf("github", "HMAC", "Applied"):            3,
		countOf("github", "HMAC", "Ignored"):            1,
		countOf("github", "", "Rejected"):               1,
		countOf("generic", "Token", "Applied"):          1,
		countOf("unknown", "", "Rejected"):              1,
		countOf("generic", "HMAC", "NotFound"):          1,
		countOf("generic", "ServiceAccount", "Applied"): 1,
		countOf("generic", "ServiceAccount", "Invalid"): 1,
		countOf("generic", "User", "Applied"):           1,
	}
	if diff := cmp.Diff(want, growth(before, w.metrics(t, deliveriesTotal))); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestMetrics_StageDurations(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	anonymous := w.anonymous()
	w.allow(unauthenticated, "gatewaysyncs")
	w.untilRejected(anonymous, gatewaySyncPath("web"), noProof)

	const stages = "postern_delivery_stage_duration_seconds_count"
	for _, test := range []struct {
		name    string
		deliver func()
		reached []string
	}{
		// Only the body identifies the sender, so the sender is verified again after decoding.
		{"applied", func() { releaser.mustPost(t, gatewaySyncPath("web"), anyBody, nil, http.StatusAccepted) },
			[]string{"verify", "decode", "verify", "admit", "resolve", "record", "write"}},
		{"ignored", func() {
			ping := payload(t, "github/ping.json")
			releaser.mustPost(t, gatewaySyncPath("web"), ping.body, ping.header, http.StatusAccepted)
		}, []string{"verify", "decode", "admit", "record"}},
		{"bad", func() { releaser.mustPost(t, gatewaySyncPath("web"), useless, nil, http.StatusBadRequest) },
			[]string{"verify", "decode"}},
		{"rejected", func() { anonymous.mustPost(t, gatewaySyncPath("web"), anyBody, nil, http.StatusUnauthorized) },
			[]string{"verify"}},
	} {
		before := w.metrics(t, stages)
		test.deliver()
		want := map[string]float64{}
		for _, stage := range test.reached {
			want[stages+`{stage="`+stage+`"}`]++
		}
		if diff := cmp.Diff(want, growth(before, w.metrics(t, stages))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestMetrics_SenderMakesNoSeries(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	const hostile = "hostile-series"

	before := w.metrics(t, deliveriesTotal)
	w.refused(delivery("a", toWeb+", source: "+hostile+", payload: {ref: v1}"), "create", "--filename=-")
	w.refused(delivery("b", "target: {kind: "+hostile+", name: web}, ref: v1"), "create", "--filename=-")
	releaser.mustPost(t, gatewaySyncPath("web"), `{"ref":"`+hostile+`","source":"`+hostile+`"}`, nil,
		http.StatusAccepted)
	push := payload(t, "github/push-branch.json").with(map[string]string{"X-Github-Event": hostile,
		"User-Agent": hostile, "X-Registry-Type": hostile})
	releaser.mustPost(t, gatewaySyncPath("web")+"?type="+hostile, push.body, push.header, http.StatusAccepted)

	want := map[string]float64{
		countOf("unknown", "", "Invalid"):               2,
		countOf("generic", "ServiceAccount", "Applied"): 1,
		countOf("github", "ServiceAccount", "Ignored"):  1,
	}
	if diff := cmp.Diff(want, growth(before, w.metrics(t, deliveriesTotal))); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	for name := range w.metrics(t, "") {
		if strings.Contains(name, hostile) {
			t.Errorf("a sender has created the metric %s", name)
		}
	}
}
