// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRateLimit_ParseWithAndWithoutUnit(t *testing.T) {
	for text, want := range map[string]Rate{
		"0": {}, "0/s": {}, "100": {100, time.Hour}, "100/h": {100, time.Hour}, "60/m": {60, time.Minute},
		"10/s":      {10, time.Second},
		" 10 / s\n": {10, time.Second},
	} {
		got, err := ParseRate(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q is formatted as %s", text, got)
		}
	}
	for _, text := range []string{"", "/s", "-1", "1.5", "1e3", "10/d", "10/", "10/s/s", "ten",
		"99999999999999999999"} {
		if got, err := ParseRate(text); err == nil ||
			!strings.Contains(err.Error(), "is not a valid rate: give requests per hour") {
			t.Errorf("%q: got %s and error %v", text, got, err)
		}
	}
}

// sendResult is how long a request took, and the response.
type sendResult struct {
	Waited     time.Duration
	Code       int
	RetryAfter string
}

// newLimitedSender returns a function that sends a request through the limit. Use it only within its synctest bubble.
func newLimitedSender(rate Rate, maxWaiting int) func(ctx context.Context, path string) sendResult {
	handler := rate.limit(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }),
		maxWaiting, func() {})
	return func(ctx context.Context, path string) sendResult {
		start, response := time.Now(), httptest.NewRecorder()
		response.Code = 0 // until there is a response
		handler.ServeHTTP(response, httptest.NewRequestWithContext(ctx, http.MethodPost, path, nil))
		return sendResult{Waited: time.Since(start), Code: response.Code,
			RetryAfter: response.Header().Get("Retry-After")}
	}
}

// sendConcurrently sends n concurrent requests and returns their results in order of completion.
func sendConcurrently(ctx context.Context, n int, send func(context.Context, string) sendResult) []sendResult {
	var mu sync.Mutex
	var all []sendResult
	var senders sync.WaitGroup
	for range n {
		senders.Go(func() {
			one := send(ctx, "/webhook")
			mu.Lock()
			defer mu.Unlock()
			all = append(all, one)
		})
	}
	senders.Wait()
	return all
}

func TestRateLimit_RequestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send := newLimitedSender(Rate{Requests: 2, Per: time.Second}, 10)
		want := []sendResult{
			{Waited: 0, Code: 202}, {Waited: 0, Code: 202},
			{Waited: 500 * time.Millisecond, Code: 202}, {Waited: time.Second, Code: 202},
			{Waited: 1500 * time.Millisecond, Code: 202},
		}
		if diff := cmp.Diff(want, sendConcurrently(t.Context(), 5, send)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestRateLimit_LongWaitIsRefused(t *testing.T) {
	for _, test := range []struct {
		rate Rate
		want sendResult
	}{
		{Rate{Requests: 1, Per: time.Hour}, sendResult{Code: 429, RetryAfter: "3590"}},
		{Rate{Requests: 2, Per: time.Hour}, sendResult{Code: 429, RetryAfter: "1790"}},
		{Rate{Requests: 5, Per: time.Minute}, sendResult{Code: 429, RetryAfter: "2"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			send := newLimitedSender(test.rate, 10)
			for range test.rate.Requests {
				if got := send(t.Context(), "/webhook"); got.Code != 202 {
					t.Errorf("%s: got %+v for one within the rate", test.rate, got)
				}
			}
			if diff := cmp.Diff(test.want, send(t.Context(), "/webhook")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.rate, diff)
			}
			// Refused requests use no tokens.
			for range 1000 {
				send(t.Context(), "/webhook")
			}
			if diff := cmp.Diff(test.want, send(t.Context(), "/webhook")); diff != "" {
				t.Errorf("%s, after 1000 others (-want +got):\n%s", test.rate, diff)
			}
		})
	}
}

func TestRateLimit_WaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send := newLimitedSender(Rate{Requests: 1, Per: time.Second}, 2)
		codes := map[sendResult]int{}
		for _, one := range sendConcurrently(t.Context(), 10, send) {
			codes[one]++
		}
		want := map[sendResult]int{
			{Code: 202}: 1, {Waited: time.Second, Code: 202}: 1, {Waited: 2 * time.Second, Code: 202}: 1,
			{Code: 429, RetryAfter: "1"}: 7,
		}
		if diff := cmp.Diff(want, codes); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := sendConcurrently(t.Context(), 1, send); got[0].Code != 202 {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

func TestRateLimit_CanceledStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send := newLimitedSender(Rate{Requests: 1, Per: 9 * time.Second}, 1)
		send(t.Context(), "/webhook")
		leaving, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		if diff := cmp.Diff(sendResult{Waited: time.Second}, send(leaving, "/webhook")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// The next request gets its token.
		if diff := cmp.Diff(sendResult{Waited: 8 * time.Second, Code: 202}, send(t.Context(), "/webhook")); diff != "" {
			t.Errorf("the next (-want +got):\n%s", diff)
		}
	})
}

func TestRateLimit_RefusalIsCountedAndAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := 0
		handler := Rate{Requests: 1, Per: time.Hour}.limit(
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 1, func() { counted++ })
		var response *httptest.ResponseRecorder
		for range 3 {
			response = httptest.NewRecorder()
			handler.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhook", nil))
		}
		const want = `{"error":"the rate limit (--webhook-ratelimit-allowed) is exceeded: ` +
			`send the webhook again later"}` + "\n"
		if got := response.Body.String(); counted != 2 || got != want ||
			response.Header().Get("Content-Type") != "application/json" {
			t.Errorf("counted %d, got %s", counted, got)
		}
	})
}

func TestRateLimit_ProbesAreExempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send := newLimitedSender(Rate{Requests: 1, Per: time.Hour}, 1)
		for range 10 {
			if got := send(t.Context(), "/healthz"); got != (sendResult{Code: 202}) {
				t.Errorf("got %+v", got)
			}
		}
		if got := send(t.Context(), "/webhook"); got != (sendResult{Code: 202}) {
			t.Errorf("probes have used up the rate: got %+v", got)
		}
		if got := send(t.Context(), "/webhook/healthz"); got.Code != 429 {
			t.Errorf("another path is not limited: got %+v", got)
		}
	})
}

func TestRateLimit_ZeroIsUnlimited(t *testing.T) {
	send := newLimitedSender(Rate{}, 0)
	for range 1000 {
		if got := send(t.Context(), "/webhook"); got.Code != 202 {
			t.Fatalf("got %+v", got)
		}
	}
}

func TestRateLimit_BodyIsReadAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := Rate{Requests: 1, Per: time.Hour}.limit(
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 1, func() {})
		for range 2 {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhook", unreadable{t})
			handler.ServeHTTP(httptest.NewRecorder(), req)
		}
	})
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, context.Canceled
}
