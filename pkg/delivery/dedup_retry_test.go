// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

// A retried delivery may become pending, and the number of pending deliveries is limited.
func TestDedup_RetriedOnlyWhereDeliveriesAreAccepted(t *testing.T) {
	full := apierrors.NewTooManyRequests("too many are pending", 15)
	for name, test := range map[string]struct {
		fails error
		code  int32 // 0 for no error
	}{
		"failed":  {errors.New("frozen"), http.StatusTooManyRequests},
		"applied": {nil, 0},
	} {
		taken := true
		p := pipelineOn(&memoryRecords{}, func(c *Config) {
			c.Accepting = func(string) error {
				if taken {
					return nil
				}
				return full
			}
		})
		p.writeErr = test.fails
		first := once(t, p)
		taken, p.writeErr, p.requests = false, unavailable(t), nil
		_, err := repeat(t, p)
		if test.code == 0 && err != nil || test.code != 0 && answered(t, err).Code != test.code {
			t.Errorf("%s: got %v, want an answer %d", name, err, test.code)
		}
		p.Drain()
		if got := p.Records.(*memoryRecords).all()[0].Status.Phase; got != first.Status.Phase || len(p.requests) > 0 {
			t.Errorf("%s: %d writes, and the record says %s, want %s", name, len(p.requests), got, first.Status.Phase)
		}
	}
}

// The record does not list all targets of a wide delivery; without its progress, a retry would cover only those listed.
func TestDedup_RetryOfWideDeliveryReportsProgress(t *testing.T) {
	p := pipelineOn(&memoryRecords{})
	p.matches = matching("demo", apps(maxResults+1)...)
	p.writeErr = errors.New("frozen")
	_, _ = p.Deliver(t.Context(), toAll(), push("d-1", pushed), false)
	settle(p)
	p.writeErr = unavailable(t)
	if _, err := p.Deliver(t.Context(), toAll(), push("d-1", pushed), false); err != nil {
		t.Fatal(err)
	}
	p.Drain()
	got := p.Records.(*memoryRecords).all()[0].Status
	if got.Phase != postern.DeliveryPending || got.Progress == nil || got.Progress.Pending != 1 {
		t.Errorf("the record says %s, %s, %+v; want one pending target that is not listed",
			got.Phase, got.Message, got.Progress)
	}
}
