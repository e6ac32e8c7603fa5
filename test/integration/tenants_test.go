// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// named returns a delivery of v1 to web with metadata in JSON.
func named(metadata string) string {
	return `{"apiVersion":"postern.dev/v1alpha1","kind":"WebhookDelivery","metadata":` + metadata +
		`,"spec":{"target":{"kind":"GatewaySync","name":"web"},"ref":"v1"}}`
}

func owners(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"%d"}`, i))
	}
	return strings.Join(all, ",")
}

func TestTenants_UnstorableIsRefused(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	creator := w.creator()
	before := w.Get(gatewaySyncs, "web")
	for _, test := range []struct {
		name, metadata string
		code           int
	}{
		{"long annotations", `{"generateName":"d-","annotations":{"x":"` + strings.Repeat("a", 200<<10) + `"}}`, 422},
		{"annotations that are long in JSON", `{"generateName":"d-","annotations":{"x":"` +
			strings.Repeat("&", 60<<10) + `"}}`, 413},
		{"an invalid label", `{"generateName":"d-","labels":{"a b":"c"}}`, 422},
		{"a resource version", `{"name":"d","resourceVersion":"1"}`, 422},
		{"an invalid generateName", `{"generateName":"X_"}`, 422},
		{"capitals", `{"name":"Release"}`, 422},
		{"two words", `{"name":"two words"}`, 422},
		{"a control character", `{"name":"esc\u001b[31mred"}`, 422},
		{"another line", `{"name":"line\nbreak"}`, 422},
		{"a long name", `{"name":"` + strings.Repeat("a", 60_000) + `"}`, 422},
		{"a path", `{"name":"a/b"}`, 422},
		{"many owners", `{"generateName":"d-","ownerReferences":[` + owners(17) + `]}`, 422},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := creator.mustPost(t, "webhookdeliveries", named(test.metadata),
				map[string]string{"Content-Type": "application/json"}, test.code)
			if after := got.header.Get("Retry-After"); after != "" {
				t.Errorf("got Retry-After %s", after)
			}
			if len(got.body) > 4<<10 {
				t.Errorf("the answer has %d bytes", len(got.body))
			}
			if got.status(t).Message == "" {
				t.Error("the answer is empty")
			}
		})
	}
	if after := w.Get(gatewaySyncs, "web"); after.GetResourceVersion() != before.GetResourceVersion() {
		t.Error("the target was written")
	}
	if records := w.records(); len(records) != 0 {
		t.Errorf("%d records are left", len(records))
	}
	creator.mustPost(t, "webhookdeliveries", named(`{}`), map[string]string{"Content-Type": "application/json"},
		http.StatusCreated)
}

// The final status of a delivery of the maximum size is stored, too.
func TestTenants_LargestDeliveriesEnd(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	creator := w.creator()
	annotations := `{"x":"` + strings.Repeat("&", 40_800) + `"}`
	got := creator.mustPost(t, "webhookdeliveries", named(`{"name":"largest","annotations":`+annotations+`}`),
		map[string]string{"Content-Type": "application/json"}, http.StatusCreated)
	checkOutcome(t, got.delivery(t), v1alpha1.DeliveryApplied, "Requested")
	w.untilRecorded("largest", v1alpha1.DeliveryApplied, "Requested")
}

// Deliveries to unavailable targets are kept until they end. A namespace must not use up the space of others.
func TestTenants_PendingLeavesRoom(t *testing.T) {
	const most = 20
	s := newSuite(t, fmt.Sprintf("--max-deliveries=%d", most))
	hostile, honest := s.newWorld(t), s.newWorld(t)
	for _, w := range []*world{hostile, honest} {
		w.gatewaySync("web")
	}
	blocked, ci := hostile.ci(), honest.ci()
	hostile.breakOff(gatewaySyncs, "web")
	var refused answer
	hostile.eventually(func() error {
		got, err := blocked.post(t.Context(), gatewaySyncPath("web"), []byte(`{"ref":"v1"}`), nil)
		if err != nil {
			return err
		}
		if got.code == http.StatusAccepted {
			return fmt.Errorf("got 202, want 429 once the namespace has its share")
		}
		refused = got
		return nil
	})
	if refused.code != http.StatusTooManyRequests || refused.header.Get("Retry-After") == "" {
		t.Errorf("got %d, with headers %v", refused.code, refused.header)
	}
	mustBeIn(t, refused.status(t).Message, "--max-namespace-share-percent")
	if pending := len(hostile.records()); pending > most*3/4 {
		t.Errorf("one namespace has %d of %d deliveries", pending, most)
	}
	for i := range 3 {
		body := fmt.Sprintf(`{"ref":"v%d"}`, i)
		ci.mustPost(t, gatewaySyncPath("web"), body, nil, http.StatusAccepted)
	}
	honest.mustHold(gatewaySyncs, "web", requestedRef, "v2")
}

// Slow requests count against the namespace that they deliver to.
func TestTenants_SlowRequestsLeaveRoom(t *testing.T) {
	const limit = 8
	s := newSuite(t, fmt.Sprintf("--max-mutating-requests-inflight=%d", limit), "--payload-timeout=1m")
	hostile, honest := s.newWorld(t), s.newWorld(t)
	for _, w := range []*world{hostile, honest} {
		w.gatewaySync("web")
	}
	slow, ci := hostile.ci().speaking(t, hostile, "HTTP/1.1"), honest.ci()
	var half []*halfSent
	hostile.untilRefused(slow, gatewaySyncPath("web"), anyBody, "--max-namespace-share-percent", func() {
		half = append(half, slow.sendHalf(t, gatewaySyncPath("web"), fmt.Sprintf("v%d", len(half)), true))
	})
	before := time.Now()
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"v1"}`, nil, http.StatusAccepted)
	t.Logf("the other namespace was answered after %s, with %d slow requests in flight", time.Since(before), len(half))
	for _, h := range half {
		h.end()
	}
}

// A namespace with too many deliveries loses its own history only.
func TestTenants_HistoryOfQuietNamespaceStays(t *testing.T) {
	const most = 20
	s := newSuite(t, fmt.Sprintf("--max-deliveries=%d", most))
	busy, quiet := s.newWorld(t), s.newWorld(t)
	for _, w := range []*world{busy, quiet} {
		w.gatewaySync("web")
	}
	flood, ci := busy.ci(), quiet.ci()
	kept := ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"v1"}`, nil, http.StatusAccepted).delivery(t).Name
	for i := range 3 * most {
		flood.mustPost(t, gatewaySyncPath("web"), fmt.Sprintf(`{"ref":"v%d"}`, i), nil, http.StatusAccepted)
	}
	busy.eventually(func() error {
		if got := len(busy.records()); got > most {
			return fmt.Errorf("%d deliveries are kept", got)
		}
		return nil
	})
	if _, err := quiet.Deliveries.PosternV1alpha1().WebhookDeliveries(quiet.Namespace).Get(t.Context(), kept,
		metav1.GetOptions{}); err != nil {
		t.Errorf("the oldest delivery, the only one of its namespace: %v", err)
	}
}
