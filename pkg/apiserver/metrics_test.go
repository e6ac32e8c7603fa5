// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"errors"
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
)

func TestMain(m *testing.M) {
	RegisterMetrics()
	os.Exit(m.Run())
}

func TestEachRefusedRequestIsCountedOnceByItsCause(t *testing.T) {
	ready, broken := func() error { return nil }, func() error { return errors.New("no") }
	for cause, refuse := range map[string]func(t *testing.T){
		"RequestsInFlight": func(*testing.T) {
			w := responsewriter.WrapForHTTP1Or2(&refusalWriter{ResponseWriter: httptest.NewRecorder()})
			http.Error(w, "Too many requests, please try again later.", http.StatusTooManyRequests)
		},
		"PayloadBytes": func(t *testing.T) {
			synctest.Test(t, func(*testing.T) { // which does not wait for the patience to end
				b := newPayloadBudget(1, 1, 1)
				b.free.TryAcquire(1)
				b.limit(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), requestWith(toDoor, 1))
			})
		},
		"Backlog": func(*testing.T) { _ = ExtraConfig{StorageReady: ready, Backlog: broken}.accepting() },
		"Storage": func(*testing.T) { _ = ExtraConfig{StorageReady: broken, Backlog: broken}.accepting() },
		"PayloadTimeout": func(*testing.T) {
			body := &timedBody{ReadCloser: late{}, timeout: time.Second}
			for range 2 {
				_, _ = body.Read(nil)
			}
		},
		"Rate": func(*testing.T) { (&Guard{}).CountOverRate() },
		"":     func(*testing.T) { _ = ExtraConfig{StorageReady: ready, Backlog: ready}.accepting() },
	} {
		refusedRequests.Reset()
		refuse(t)
		want := ""
		if cause != "" {
			want = "# HELP postern_refused_requests_total [BETA] Requests that were answered 429, 503 or 504 before anyone looked at what they hold, by cause.\n" +
				"# TYPE postern_refused_requests_total counter\n" +
				`postern_refused_requests_total{cause="` + cause + "\"} 1\n"
		}
		if err := testutil.GatherAndCompare(legacyregistry.DefaultGatherer, strings.NewReader(want), "postern_refused_requests_total"); err != nil {
			t.Errorf("%s: %v", cause, err)
		}
	}
}

// late is a body whose time is up.
type late struct{}

func (late) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (late) Close() error             { return nil }
