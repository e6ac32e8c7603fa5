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

// What is tried again may become pending, and how much may be is bounded.
func TestARepeatIsTriedAgainOnlyWhereDeliveriesAreTaken(t *testing.T) {
	full := apierrors.NewTooManyRequests("too many are pending", 15)
	for name, test := range map[string]struct {
		fails error
		code  int32 // 0 is no error
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
			t.Errorf("%s: wrote %d times, and the record says %s, want %s", name, len(p.requests), got, first.Status.Phase)
		}
	}
}

// Of a delivery to very many targets the record does not list all; without its progress it would end by those listed.
func TestARepeatThatMakesAWideDeliveryPendingSaysHowFarItHasCome(t *testing.T) {
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
		t.Errorf("the record says %s, %s, %+v; want one target that is pending and not listed",
			got.Phase, got.Message, got.Progress)
	}
}
