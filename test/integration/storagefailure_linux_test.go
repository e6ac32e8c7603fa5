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

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/etcd"
	"postern.dev/postern/test/controlplane"
)

func (w *world) etcdClient() *clientv3.Client {
	w.T.Helper()
	client, err := w.EtcdClient(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { _ = client.Close() })
	return client
}

func TestStorage_FullDisk(t *testing.T) {
	s, disk := newSuiteOnSmallDisk(t)
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	kept := ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"v1"}`, nil, http.StatusAccepted).delivery(t).Name
	// After a slow write, the final status is stored after the answer, and etcd does not survive a write to a full
	// disk.
	w.eventually(func() error {
		if phase := w.record(kept).Status.Phase; phase != v1alpha1.DeliveryApplied {
			return fmt.Errorf("%s is %s", kept, phase)
		}
		return nil
	})
	pid := s.postern.PID()

	t.Run("rejects deliveries and still serves reads", func(t *testing.T) {
		w := w.in(t)
		disk.fill()
		w.mustAnswerUnavailable(ci, gatewaySyncPath("web"))
		w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
		w.mustServeAllElse()
		w.mustLive(pid)
		if got := w.records(); len(got) != 1 || got[0].Name != kept {
			t.Errorf("listed %d deliveries, want %s", len(got), kept)
		}
		watch, err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace).Watch(t.Context(),
			metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Stop()

		disk.empty()
		w.untilDelivered(ci, gatewaySyncPath("web"), "v2")
		if event := <-watch.ResultChan(); event.Object == nil {
			t.Error("the watch has ended")
		}
		w.mustLive(pid)
	})
	t.Run("that etcd has written to loses neither the process nor records", func(t *testing.T) {
		w := w.in(t)
		before := len(w.records())
		disk.fill()
		w.writeUntilEtcdFails()
		w.mustAnswerUnavailable(ci, gatewaySyncPath("web"))
		w.eventually(func() error { return w.unreadyBecause("etcd") })
		w.mustLive(pid)

		disk.empty()
		w.untilDelivered(ci, gatewaySyncPath("web"), "v3")
		w.mustLive(pid)
		if got := len(w.records()); got <= before {
			t.Errorf("%d deliveries are recorded, want at least the %d of before", got, before)
		}
		w.eventually(func() error { return s.readyError(t.Context()) })
	})
}

// mustServeAllElse fails the test unless Postern is ready although the storage is unavailable, and serves the requests
// of a namespace's deletion: the kube-apiserver proxies nothing to a Service without a ready Pod.
func (w *world) mustServeAllElse() {
	w.T.Helper()
	if err := w.readyError(w.T.Context()); err != nil {
		w.T.Error(err)
	}
	other := w.suite.newWorld(w.T)
	err := w.Deliveries.PosternV1alpha1().WebhookDeliveries(other.Namespace).
		DeleteCollection(w.T.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
	if err != nil {
		w.T.Errorf("could not delete all deliveries of a namespace that has none: %v", err)
	}
}

func (s *suite) readyError(ctx context.Context) error {
	got, err := s.direct(ctx, "/readyz")
	if err == nil && got.code != http.StatusOK {
		err = fmt.Errorf("/readyz: got %d: %s", got.code, got.body)
	}
	return err
}

// writeUntilEtcdFails writes to etcd directly, because Postern does not write to a full disk.
func (w *world) writeUntilEtcdFails() {
	w.T.Helper()
	client := w.etcdClient()
	ctx, cancel := context.WithCancel(w.T.Context())
	defer cancel()
	go func() {
		value := strings.Repeat("x", mebibyte)
		for i := 0; ctx.Err() == nil; i++ {
			_, _ = client.Put(ctx, fmt.Sprintf("/filler/%d", i), value)
		}
	}()
	w.eventually(func() error {
		log, err := os.ReadFile(w.postern.LogFile())
		if err == nil && !strings.Contains(string(log), "Refusing deliveries until the embedded etcd is restarted") {
			err = errors.New("the embedded etcd has not failed")
		}
		return err
	})
}

func TestStorage_UnusableDataDirectory(t *testing.T) {
	s, disk := newSuiteOnSmallDisk(t)
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"v1"}`, nil, http.StatusAccepted)

	etcdDir := filepath.Join(disk.dir, "etcd")
	database := filepath.Join(etcdDir, "member", "snap", "db")
	for _, test := range []struct {
		name        string
		spoil, mend func()
	}{
		{"full", disk.fill, disk.empty},
		{"read-only", func() { disk.remount(syscall.MS_RDONLY) }, func() { disk.remount(0) }},
		{"not a directory", func() { disk.replace(etcdDir, disk.makeFile) }, func() { disk.putBack(etcdDir) }},
		{"without a database that opens", func() { disk.replace(database, disk.makeDir) },
			func() { disk.putBack(database) }},
	} {
		t.Run(test.name+" is waited for", func(t *testing.T) {
			w := w.in(t)
			if err := s.postern.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			test.spoil()
			started := make(chan error, 1)
			go func() { started <- s.postern.Start(t.Context()) }()
			w.eventually(func() error {
				got, err := w.direct(t.Context(), "/readyz")
				if err == nil && got.code != http.StatusServiceUnavailable {
					err = fmt.Errorf("/readyz: got %d: %s", got.code, got.body)
				}
				return err
			})
			got, err := w.direct(t.Context(), "/livez")
			if err != nil || got.code != http.StatusOK {
				t.Errorf("/livez: got %d, %v: %s", got.code, err, got.body)
			}
			got, err = w.direct(t.Context(), "/apis/postern.dev/v1alpha1")
			if err != nil || got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
				t.Errorf("got %d, %v with Retry-After %q, want 503 with one: %s", got.code, err,
					got.header.Get("Retry-After"), got.body)
			}
			if status := got.status(t); status.Reason != metav1.StatusReasonServiceUnavailable {
				t.Errorf("got %+v, want a Status that says ServiceUnavailable", status)
			}

			test.mend()
			if err := <-started; err != nil {
				t.Fatal(err)
			}
			if len(w.records()) == 0 {
				t.Error("the records are gone")
			}
			w.untilDelivered(ci, gatewaySyncPath("web"), "v-"+strings.ReplaceAll(test.name, " ", "-"))
		})
	}
}

func TestStorage_QuotaOfEtcd(t *testing.T) {
	s := newSuiteOf(t, controlplane.Base, controlplane.PosternOptions{Flags: []string{"--etcd-quota-bytes=16777216"}})
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	pid := s.postern.PID()
	client := w.etcdClient()
	value := strings.Repeat("x", 100<<10)
	for i := 0; ; i++ {
		if _, err := client.Put(t.Context(), fmt.Sprintf("/filler/%d", i), value); err != nil {
			break // the quota is reached
		}
	}
	w.mustAnswerUnavailable(ci, gatewaySyncPath("web"))
	w.mustServeAllElse()
	w.mustLive(pid)

	if _, err := client.Delete(t.Context(), "/filler/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	w.untilDelivered(ci, gatewaySyncPath("web"), "v1")
	w.eventually(func() error {
		if got := s.metrics(t, "postern_etcd_database_bytes")["postern_etcd_database_bytes"]; got == 0 || got > 8<<20 {
			return fmt.Errorf("the database has %f bytes", got)
		}
		return s.readyError(t.Context())
	})
	w.mustLive(pid)
}

func TestStorage_ExternalEtcdIsAway(t *testing.T) {
	dir, err := os.MkdirTemp("", "etcd") // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	startEtcd := func() *etcd.Server {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		member, err := etcd.Start(ctx, etcd.Config{DataDir: dir, QuotaBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		return member
	}
	member := startEtcd()
	s, _ := newSuiteOnSmallDisk(t, "--etcd-servers="+member.Endpoint())
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	pid := s.postern.PID()

	member.Close()
	w.eventually(func() error { return w.unreadyBecause("etcd") })
	w.mustLive(pid)
	got, err := ci.post(t.Context(), gatewaySyncPath("web"), []byte(`{"ref":"lost"}`), nil)
	if err != nil || got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("got %d, %v with Retry-After %q, want 503 with one: %s", got.code, err, got.header.Get("Retry-After"),
			got.body)
	}

	member = startEtcd()
	t.Cleanup(member.Close)
	w.untilDelivered(ci, gatewaySyncPath("web"), "v1")
	w.eventually(func() error { return s.readyError(t.Context()) })
	w.mustLive(pid)
}
