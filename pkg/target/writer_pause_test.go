// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

func TestWriter_HonorsRetryAfter(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.before = func(_ *fakeAPIServer, method string, n int) *answer {
		if method == http.MethodPatch && n == 1 {
			return tooMany
		}
		return nil
	}
	writer, pauses := newTestWriter(t, api, nil)
	if _, err := writeOne(t.Context(), writer, plant,
		Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon}, false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]time.Duration{7 * time.Second}, *pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
}

func TestWriter_BackoffGrows(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	api.before = func(*fakeAPIServer, string, int) *answer { return unavailable }
	writer, pauses := newTestWriter(t, api, nil)
	writer.retries.Jitter = 0
	if _, err := writeOne(t.Context(), writer, plant,
		Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon}, false); !IsTransient(err) {
		t.Fatal(err)
	}
	want := []time.Duration{
		10 * time.Millisecond, 30 * time.Millisecond, 90 * time.Millisecond,
		270 * time.Millisecond, 810 * time.Millisecond,
	}
	if diff := cmp.Diff(want, *pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
}

func TestWriter_EndsWithContext(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v1"))
	ctx, cancel := context.WithCancel(t.Context())
	api.before = func(*fakeAPIServer, string, int) *answer {
		cancel()
		return unavailable
	}
	writer, _ := newTestWriter(t, api, nil)
	// The context of a batch ends a moment after its last caller has left.
	writer.sleep = func(ctx context.Context, _ time.Duration) error { return sleep(ctx, time.Minute) }
	_, err := writeOne(ctx, writer, plant, Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon}, false)
	if requests, _ := api.seen(); !IsTransient(err) || len(requests) != 1 {
		t.Errorf("got %d requests and error %v", len(requests), err)
	}
}

func TestWriter_SleepEndsWithContext(t *testing.T) {
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sleep(soon, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline before the delay: got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleep(ended, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: got %v", err)
	}
	if err := sleep(t.Context(), 0); err != nil {
		t.Errorf("without a delay: got %v", err)
	}
}
