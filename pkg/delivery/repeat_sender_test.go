// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// An identity may suffice where a webhook secret does not.
func TestDedup_RetryUsesRightsOfItsSender(t *testing.T) {
	signed := push("d-1", pushed)
	signed.User = nil
	signed.Header.Set("X-Hub-Signature-256", sign([]byte(pushed)))
	for name, test := range map[string]struct {
		first, then Request
		phase       postern.DeliveryPhase
	}{
		"the first may, the repeat may not": {push("d-1", pushed), signed, "Failed"},
		"the first may not, the repeat may": {signed, push("d-1", pushed), "Ignored"},
		"both may, by identity":             {push("d-1", pushed), push("d-1", pushed), "Applied"},
	} {
		p := pipelineOn(&memoryRecords{})
		p.Secrets.Set("demo", map[string][]byte{"hmac": []byte(secret), "gatewaysyncs.plant.hmac": []byte("its own")})
		p.matches = func(target.Request) ([]target.Match, error) {
			return []target.Match{
				{Key: postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: "demo", Name: "plant"}},
			}, nil
		}
		p.writeErr = errors.New("frozen")
		_, _ = p.Deliver(t.Context(), toAll(), test.first, false)
		settle(p)
		p.writeErr, p.requests = nil, nil
		_, _ = p.Deliver(t.Context(), toAll(), test.then, false)
		p.Drain()
		written := len(p.requests) > 0
		if got := p.Records.(*memoryRecords).all()[0].Status.Phase; written != (test.phase == "Applied") || written &&
			got != test.phase {
			t.Errorf("%s: %d writes, and the record says %s", name, len(p.requests), got)
		}
	}
}

func TestDedup_LogNamesItsOwnSender(t *testing.T) {
	p := pipelineOn(&memoryRecords{})
	once(t, p)
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	in := push("d-1", pushed)
	in.User = other
	answer, err := p.Deliver(klog.NewContext(t.Context(), logger), toPlant(), in, false)
	if err != nil {
		t.Fatal(err)
	}
	p.Drain()
	if got := answer.Status.Sender.Name; got != ci.Name {
		t.Errorf("answered with the sender %s, want the record of the first", got)
	}
	log := logger.GetSink().(ktesting.Underlier).GetBuffer().String()
	if want := `sender="` + other.Name + `" method="User"`; !strings.Contains(log, want) ||
		strings.Contains(log, ci.Name) {
		t.Errorf("the log is %q, want %s in it", log, want)
	}
}
