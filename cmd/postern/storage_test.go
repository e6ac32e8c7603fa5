// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/pkg/etcd"
)

// newTestOptions returns options with a data directory of that name in a new directory, and without a certificate.
func newTestOptions(t *testing.T, name string) *options {
	t.Helper()
	dir, err := os.MkdirTemp("", "storage") // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := newOptions()
	o.dataDir = filepath.Join(dir, name)
	o.recommended.SecureServing.BindPort = 0
	return o
}

func TestADataDirectoryThatSomebodyUsesIsAnErrorAtOnce(t *testing.T) {
	o := newTestOptions(t, "data")
	first, err := openStorage(t.Context(), o, &startupServer{options: o})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := openStorage(t.Context(), o, &startupServer{options: o}); !errors.Is(err, etcd.ErrInUse) {
		t.Errorf("got error %v, want %v", err, etcd.ErrInUse)
	}
}

func TestADataDirectoryThatCannotBeUsedIsTriedAgainUntilItCan(t *testing.T) {
	o := newTestOptions(t, "data")
	if err := os.WriteFile(o.dataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	remove := time.AfterFunc(time.Millisecond, func() {
		if err := os.Remove(o.dataDir); err != nil {
			t.Error(err)
		}
	})
	defer remove.Stop()
	member, err := openStorage(t.Context(), o, &startupServer{options: o})
	if err != nil {
		t.Fatal(err)
	}
	member.Close()
}

func TestASignalEndsTheAttemptsToOpenADataDirectory(t *testing.T) {
	o := newTestOptions(t, "data")
	if err := os.WriteFile(o.dataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := openStorage(ctx, o, &startupServer{options: o}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestWithoutStorageTheProcessLivesAndEverythingElseIsUnavailable(t *testing.T) {
	for path, want := range map[string]int{
		"/livez": http.StatusOK, "/livez/ping": http.StatusOK,
		"/readyz": http.StatusServiceUnavailable, "/": http.StatusServiceUnavailable,
		"/livezz":                    http.StatusServiceUnavailable,
		"/apis/postern.dev/v1alpha1": http.StatusServiceUnavailable,
	} {
		recorder := httptest.NewRecorder()
		serveUnavailable(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		if recorder.Code != want {
			t.Errorf("%s: got %d, want %d", path, recorder.Code, want)
		}
		if want == http.StatusOK {
			continue
		}
		var status metav1.Status
		if err := json.Unmarshal(recorder.Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		if status.Reason != metav1.StatusReasonServiceUnavailable || recorder.Header().Get("Retry-After") != "5" {
			t.Errorf("%s: got %+v with Retry-After %q", path, status, recorder.Header().Get("Retry-After"))
		}
	}
}

// A re-executed test binary would run this test again, forever.
func TestAProcessThatIsToEndDoesNotStartAnew(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reexec(ctx); err != nil {
		t.Error(err)
	}
}
