// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/component-base/metrics/testutil"
)

// newTestLimiter returns a limiter of two requests and ten bytes, with loaded secrets and a working storage.
func newTestLimiter(change func(*LimiterConfig)) *Limiter {
	c := LimiterConfig{
		SecretsSynced: func() bool { return true },
		CheckStorage:  func() error { return nil },
		MaxRequests:   2, SharePercent: 100,
		MaxPayloadBytes: 10, MaxInflightPayloadBytes: PayloadCost(10), PayloadTimeout: time.Minute,
	}
	change(&c)
	return NewLimiter(c)
}

func asIs(*LimiterConfig) {}

// assertTooManyRequests checks that the message of err contains words, and returns its code and Retry-After.
func assertTooManyRequests(t *testing.T, err error, words string) (code int32, retryAfter int32) {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatalf("got %v, want an API status", err)
	}
	answer := status.Status()
	if !strings.Contains(answer.Message, words) {
		t.Errorf("the message does not contain %q: %s", words, answer.Message)
	}
	if answer.Details == nil {
		return answer.Code, 0
	}
	return answer.Code, answer.Details.RetryAfterSeconds
}

func TestLimiter_RefusesWhenUnavailable(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*LimiterConfig)
		code   int32
		retry  int32
		says   string
	}{
		"before the secrets are loaded": {func(c *LimiterConfig) { c.SecretsSynced = func() bool { return false } },
			http.StatusServiceUnavailable, 5, "webhook secrets are not loaded"},
		"without storage": {func(c *LimiterConfig) {
			c.CheckStorage = Acceptance{StorageReady: func() error { return errors.New("disk full") }}.CheckStorage
		}, http.StatusServiceUnavailable, 5, "the storage is unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newTestLimiter(tc.change).Begin("demo")
			if code, retry := assertTooManyRequests(t, err, tc.says); code != tc.code || retry != tc.retry {
				t.Errorf("got %d, Retry-After %d; want %d, %d", code, retry, tc.code, tc.retry)
			}
		})
	}
}

func TestLimiter_BoundsRequests(t *testing.T) {
	g := newTestLimiter(asIs)
	var ends []func()
	for range 2 {
		end, err := g.Begin("demo")
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	refusedRequests.Reset()
	_, err := g.Begin("demo")
	counted, _ := testutil.GetCounterMetricValue(refusedRequests.WithLabelValues(causeRequestsInFlight))
	if counted != 1 {
		t.Errorf("counted %g refusals, want 1", counted)
	}
	code, retry := assertTooManyRequests(t, err, "--max-mutating-requests-inflight")
	if code != http.StatusTooManyRequests || retry != 5 {
		t.Errorf("got %d, Retry-After %d; want 429, 5", code, retry)
	}
	ends[0]()
	if _, err := g.Begin("demo"); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

func TestLimiter_BoundsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestLimiter(asIs)
		read := func() (release func(), err error) {
			req, release, err := g.AcquireBody(connection{httptest.NewRecorder()},
				requestWith(genericapirequest.RequestInfo{}, -1), "demo")
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, req.Body)
			return release, err
		}
		release, err := read()
		if err != nil {
			t.Fatal(err)
		}
		releaseNothing, err := read()
		code, retry := assertTooManyRequests(t, err, "--max-inflight-payload-bytes")
		if code != http.StatusTooManyRequests || retry != 5 {
			t.Errorf("got %d, Retry-After %d; want 429, 5", code, retry)
		}
		releaseNothing()
		release()
		if _, err = read(); err != nil {
			t.Errorf("after memory was released: %v", err)
		}
	})
}

func TestLimiter_ReleasesUnboundedBody(t *testing.T) {
	g := newTestLimiter(asIs)
	for range 2 {
		_, _, err := g.AcquireBody(httptest.NewRecorder(), requestWith(genericapirequest.RequestInfo{}, 10), "demo")
		code, _ := assertTooManyRequests(t, err, "could not bound the time")
		if code != http.StatusInternalServerError {
			t.Errorf("got %d, want 500", code)
		}
	}
}

// connection is a recorder that supports read deadlines, like the response writer of a server.
type connection struct{ *httptest.ResponseRecorder }

func (connection) SetReadDeadline(time.Time) error { return nil }
