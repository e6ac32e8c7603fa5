// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package startup

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

// newTestConfig returns the configuration of an etcd whose data directory does not exist yet.
func newTestConfig(t *testing.T) etcd.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "storage") // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return etcd.Config{DataDir: filepath.Join(dir, "data"), QuotaBytes: 64 << 20}
}

func noop() {}

func TestStorage_LockedDataDirectoryIsError(t *testing.T) {
	config := newTestConfig(t)
	first, err := openStorage(t.Context(), config, noop)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := openStorage(t.Context(), config, noop); !errors.Is(err, etcd.ErrInUse) {
		t.Errorf("got error %v, want %v", err, etcd.ErrInUse)
	}
}

func TestStorage_RetriesUnusableDataDirectory(t *testing.T) {
	config := newTestConfig(t)
	if err := os.WriteFile(config.DataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	remove := time.AfterFunc(time.Millisecond, func() {
		if err := os.Remove(config.DataDir); err != nil {
			t.Error(err)
		}
	})
	defer remove.Stop()
	member, err := openStorage(t.Context(), config, noop)
	if err != nil {
		t.Fatal(err)
	}
	member.Close()
}

func TestStorage_SignalEndsRetries(t *testing.T) {
	config := newTestConfig(t)
	if err := os.WriteFile(config.DataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := openStorage(ctx, config, noop); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestStorage_UnavailableKeepsProcessAlive(t *testing.T) {
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
func TestStorage_NoRestartDuringShutdown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reexec(ctx, noop); err != nil {
		t.Error(err)
	}
}
