// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

func TestHandlers_ShutdownAnswersAndCloses(t *testing.T) {
	var stopping atomic.Bool
	answered := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	server := httptest.NewServer(WithConnectionClose(answered, &stopping))
	defer server.Close()
	for _, want := range []bool{false, true} {
		stopping.Store(want)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		got, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode != http.StatusAccepted || got.Close != want {
			t.Errorf("stopping: %t: got %d, connection closed: %t", want, got.StatusCode, got.Close)
		}
	}
}
