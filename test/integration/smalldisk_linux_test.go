// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// smallDisk is a file system that a test can fill and make read-only.
type smallDisk struct {
	t   *testing.T
	dir string
}

// newSuiteOnSmallDisk is newSuite with Postern's data on a small disk. It needs root.
func newSuiteOnSmallDisk(t *testing.T, flags ...string) (*suite, *smallDisk) {
	t.Helper()
	s := &suite{Cluster: testcluster.New(t, controlplane.Options{}), path: controlplane.Base}
	disk := &smallDisk{t, s.EtcdDir()}
	disk.mount()
	testcluster.AtEnd(t, s.endPostern)
	if err := s.install(testcluster.StartContext(t), controlplane.PosternOptions{Flags: flags}); err != nil {
		t.Fatal(err)
	}
	return s, disk
}

func (d *smallDisk) mount() {
	d.t.Helper()
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "size=256m")
	if errors.Is(err, syscall.EPERM) {
		d.t.Skip("only root may mount a small disk")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) })
}

// remount makes the disk read-only or writable. It fails while a process has files open for writing.
func (d *smallDisk) remount(flags uintptr) {
	d.t.Helper()
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) filler() string { return filepath.Join(d.dir, "filler") }

func (d *smallDisk) fill() {
	d.t.Helper()
	file, err := os.Create(d.filler())
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			d.t.Fatal(err)
		}
	}
}

func (d *smallDisk) empty() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}

// replace replaces a file or directory until putBack.
func (d *smallDisk) replace(path string, something func(path string) error) {
	d.t.Helper()
	if err := errors.Join(os.Rename(path, path+".aside"), something(path)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) putBack(path string) {
	d.t.Helper()
	if err := errors.Join(os.Remove(path), os.Rename(path+".aside", path)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) makeFile(path string) error { return os.WriteFile(path, nil, 0o600) }
func (d *smallDisk) makeDir(path string) error  { return os.Mkdir(path, 0o700) }

// direct calls Postern directly, as a kubelet does.
func (s *suite) direct(ctx context.Context, path string) (answer, error) {
	config := s.postern.DirectConfig()
	config.Dial = newDialer()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return answer{}, err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, nil)
	if err != nil {
		return answer{}, err
	}
	return sender{Sender: testcluster.Sender{Client: client}}.do(req)
}

// mustLive fails the test unless Postern is live and has not been restarted.
func (w *world) mustLive(pid int) {
	w.T.Helper()
	got, err := w.direct(w.T.Context(), "/livez")
	if err != nil || got.code != http.StatusOK {
		w.T.Errorf("/livez: got %d, %v: %s", got.code, err, got.body)
	}
	if !w.postern.Running() || w.postern.PID() != pid {
		w.T.Errorf("process %d has ended", pid)
	}
}

// unreadyBecause returns an error unless Postern is not ready because of this check.
func (w *world) unreadyBecause(check string) error {
	got, err := w.direct(w.T.Context(), "/readyz")
	if err != nil {
		return err
	}
	if got.code != http.StatusInternalServerError || !strings.Contains(string(got.body), "[-]"+check+" failed") {
		return fmt.Errorf("/readyz: got %d, want 500 for %s: %s", got.code, check, got.body)
	}
	return nil
}

// mustAnswerUnavailable fails the test unless a delivery is answered 503 with Retry-After, and quickly.
func (w *world) mustAnswerUnavailable(s sender, path string) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), 10*time.Second) // the timeout of senders
	defer cancel()
	got, err := s.post(ctx, path, []byte(`{"ref":"lost"}`), nil)
	if err != nil {
		w.T.Fatal(err)
	}
	if got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		w.T.Fatalf("got %d with Retry-After %q, want 503 with one: %s", got.code, got.header.Get("Retry-After"),
			got.body)
	}
	if status := got.status(w.T); status.Reason != metav1.StatusReasonServiceUnavailable || status.Message == "" {
		w.T.Errorf("got %+v, want a Status that says ServiceUnavailable", status)
	}
}

func (w *world) untilDelivered(s sender, path, ref string) {
	w.T.Helper()
	w.untilAnswered(http.StatusAccepted, s, path, `{"ref":"`+ref+`"}`, nil)
}
