// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/endpoints/responsewriter"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/testutil"

	"postern.dev/postern/pkg/fairness"
)

func TestMain(m *testing.M) {
	RegisterMetrics()
	os.Exit(m.Run())
}

func TestMetrics_RefusedRequestIsCountedOnce(t *testing.T) {
	ready, broken := func() error { return nil }, func() error { return errors.New("no") }
	room := func(string) (string, error) { return "", nil }
	noRoom := func(cause string) func(string) (string, error) {
		return func(string) (string, error) { return cause, errors.New("no") }
	}
	for cause, refuse := range map[string]func(t *testing.T){
		"RequestsInFlight": func(*testing.T) {
			w := responsewriter.WrapForHTTP1Or2(&tooManyRequestsWriter{ResponseWriter: httptest.NewRecorder()})
			http.Error(w, "Too many requests, please try again later.", http.StatusTooManyRequests)
		},
		"PayloadBytes": func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // with a fake clock
				b := NewPayloadBudget(PayloadCost(1), 50, 1, 1)
				_, _ = b.decoding.Acquire(t.Context(), fairness.Flow{}, b.total)
				req, _, _ := b.reserve(requestOf(1, 1), fairness.Flow{Namespace: "demo"}, b.payloads())
				_, _ = io.Copy(io.Discard, req.Body)
			})
		},
		"Backlog": func(*testing.T) {
			_ = Acceptance{StorageReady: ready, Backlog: noRoom("Backlog")}.Check("demo")
		},
		"NamespacePending": func(*testing.T) {
			_ = Acceptance{StorageReady: ready, Backlog: noRoom("NamespacePending")}.Check("demo")
		},
		"NamespaceBytes": func(*testing.T) {
			_ = Acceptance{StorageReady: ready, Backlog: noRoom("NamespaceBytes")}.Check("demo")
		},
		"NamespaceRequests": func(t *testing.T) {
			s := NewNamespaceShare(50, 2, NewPayloadBudget(1, 50, 1, 1))
			_, _ = s.begin(fairness.Flow{Namespace: "demo"})
			_, _ = s.begin(fairness.Flow{Namespace: "demo"})
		},
		"NamespaceWork": func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // with a fake clock
				w := NewWork(1)
				_, _ = w.Begin(t.Context(), fairness.Flow{Namespace: "demo"})
				_, _ = w.Begin(t.Context(), fairness.Flow{Namespace: "demo"})
			})
		},
		"Storage": func(*testing.T) {
			_ = Acceptance{StorageReady: broken, Backlog: noRoom("Backlog")}.Check("demo")
		},
		"PayloadTimeout": func(*testing.T) {
			body := &timedBody{ReadCloser: slowBody{}, timeout: time.Second}
			for range 2 {
				_, _ = body.Read(nil)
			}
		},
		"Rate": func(*testing.T) { (&Limiter{}).CountOverRate() },
		"": func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // a client that leaves is not counted
			w, b := NewWork(50), NewPayloadBudget(PayloadCost(1), 50, 1, 1)
			_, _ = b.decoding.Acquire(t.Context(), fairness.Flow{}, b.total)
			req, _, _ := b.reserve(requestOf(1, 1).WithContext(ctx), fairness.Flow{}, b.payloads())
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = w.Begin(t.Context(), fairness.Flow{})
			_, _ = w.Begin(ctx, fairness.Flow{})
			_ = Acceptance{StorageReady: ready, Backlog: room}.Check("demo")
		},
	} {
		refusedRequests.Reset()
		refuse(t)
		want := ""
		if cause != "" {
			want = "# HELP postern_refused_requests_total [BETA] Requests that were refused (401, 403, 429, 503 or " +
				"504) before their content was processed, by cause.\n" +
				"# TYPE postern_refused_requests_total counter\n" +
				`postern_refused_requests_total{cause="` + cause + "\"} 1\n"
		}
		const name = "postern_refused_requests_total"
		if err := testutil.GatherAndCompare(legacyregistry.DefaultGatherer, strings.NewReader(want), name); err != nil {
			t.Errorf("%s: %v", cause, err)
		}
	}
}

// slowBody is a body that has timed out.
type slowBody struct{}

func (slowBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (slowBody) Close() error             { return nil }
