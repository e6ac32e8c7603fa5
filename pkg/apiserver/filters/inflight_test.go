// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"
)

func TestInFlight_TextBecomesStatus(t *testing.T) {
	answer := httptest.NewRecorder()
	w := responsewriter.WrapForHTTP1Or2(&tooManyRequestsWriter{ResponseWriter: answer})
	w.Header().Set("Retry-After", "7")
	http.Error(w, "Too many requests, please try again later.", http.StatusTooManyRequests)

	mustAnswerTooManyRequests(t, answer, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
		"--max-mutating-requests-inflight")
	if got := answer.Header().Get("Retry-After"); got != "7" {
		t.Errorf("got Retry-After %q, want the framework's 7", got)
	}
}

func TestInFlight_OtherAnswersPass(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"an error in plain text": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", http.StatusForbidden)
		},
		"a refusal as a status": func(w http.ResponseWriter, _ *http.Request) {
			WriteError(w, apierrors.NewTooManyRequests("own words", 3))
		},
		"a success": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("yes")) },
	} {
		t.Run(name, func(t *testing.T) {
			want, got := httptest.NewRecorder(), httptest.NewRecorder()
			serve(want, nil)
			serve(&tooManyRequestsWriter{ResponseWriter: got}, nil)
			if diff := cmp.Diff(want.Result().Header, got.Result().Header); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if got.Code != want.Code || got.Body.String() != want.Body.String() {
				t.Errorf("got %d %q, want %d %q", got.Code, got.Body, want.Code, want.Body)
			}
		})
	}
}

func TestInFlight_RecognizesProbes(t *testing.T) {
	for path, want := range map[string]bool{
		"/livez": true, "/livez/ping": true, "/readyz": true, "/readyz/etcd": true, "/healthz": true,
		"/": false, "/livezz": false, "/metrics": false, "/apis/postern.dev/livez": false,
	} {
		if got := IsProbe(path); got != want {
			t.Errorf("%s: got %t, want %t", path, got, want)
		}
	}
}
