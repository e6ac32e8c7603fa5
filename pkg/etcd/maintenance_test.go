// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const smallQuota = 16 << 20

// fillQuota writes values under the keys that key returns, twice the quota if etcd does not reject them before. It
// reports whether etcd did.
func fillQuota(t *testing.T, client *clientv3.Client, key func(i int) string) (full bool) {
	t.Helper()
	value := strings.Repeat("x", 100<<10)
	for i := range 2 * smallQuota / len(value) {
		if _, err := client.Put(t.Context(), key(i), value); err != nil {
			if !strings.Contains(err.Error(), "database space exceeded") {
				t.Fatal(err)
			}
			return true
		}
	}
	return false
}

func TestMaintenance_CompactsFullQuota(t *testing.T) {
	s, client := start(t, Config{DataDir: shortTempDir(t), QuotaBytes: smallQuota})
	fillQuota(t, client, func(int) string { return "the same" }) // on a slow machine it is compacted in between
	eventually(t, func(ctx context.Context) error {
		_, err := client.Put(ctx, "key", "value")
		return errors.Join(err, s.Ready())
	})
	if s.NearQuota() {
		t.Error("a database with two keys is near its quota")
	}
	if got := s.etcd.Server.Backend().Size(); got > smallQuota/2 {
		t.Errorf("the database still has %d bytes", got)
	}
}

func TestMaintenance_FullQuotaUntilDataIsDeleted(t *testing.T) {
	s, client := start(t, Config{DataDir: shortTempDir(t), QuotaBytes: smallQuota})
	if !fillQuota(t, client, func(i int) string { return fmt.Sprintf("key-%04d", i) }) {
		t.Fatal("etcd accepted twice its quota")
	}
	eventually(t, func(context.Context) error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "quota of 16 MiB") {
			return fmt.Errorf("got readiness error %w, want one about the quota", err)
		}
		if !s.NearQuota() {
			return errors.New("it is not near its quota")
		}
		return nil
	})
	if _, err := client.Delete(t.Context(), "key-0", clientv3.WithPrefix()); err != nil {
		t.Fatalf("nothing can be deleted: %v", err)
	}
	eventually(t, func(ctx context.Context) error {
		_, err := client.Put(ctx, "key", "value")
		if s.NearQuota() {
			err = errors.Join(err, errors.New("it is near its quota"))
		}
		return errors.Join(err, s.Ready())
	})
}
