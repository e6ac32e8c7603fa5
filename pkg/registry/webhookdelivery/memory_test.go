// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
)

// heapBytes returns the heap in use after a garbage collection.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// inUse returns the bytes used in etcd's database.
func (e storeFixture) inUse(t *testing.T) int64 {
	t.Helper()
	status, err := e.etcd.Status(t.Context(), e.etcd.Endpoints()[0])
	if err != nil {
		t.Fatal(err)
	}
	return status.DbSizeInUse
}

// --max-delivery-bytes bounds bytes of JSON. In memory, the watch cache has the decoded record, and for a time the
// versions before and after each change. docs/operations.md has the totals.
func TestStore_MemoryOfRecords(t *testing.T) {
	const records, fixed, factor = 200, 64 << 10, 6
	for _, annotated := range []int{0, 40 << 10} {
		t.Run(fmt.Sprintf("%d bytes of annotations", annotated), func(t *testing.T) {
			store := newStoreFixture(t, time.Hour)
			ctx := genericapirequest.WithNamespace(t.Context(), "demo")
			if _, err := store.Create(ctx, pending("a"), false); err != nil {
				t.Fatal(err)
			}
			want := []string{"demo/a"}
			if _, err := store.untilListed(t.Context(), want...); err != nil {
				t.Fatal(err)
			}
			before, stored, encoded := heapBytes(), store.inUse(t), 0
			for i := range records {
				d := pending(fmt.Sprintf("d%03d", i))
				d.Annotations = map[string]string{"x": strings.Repeat("a", annotated)}
				record, err := store.Create(ctx, d, false)
				if err != nil {
					t.Fatal(err)
				}
				record.Status.Phase = postern.DeliveryApplied
				if record, err = store.UpdateStatus(ctx, record); err != nil {
					t.Fatal(err)
				}
				size, err := validation.EncodedBytes(record)
				if err != nil {
					t.Fatal(err)
				}
				encoded += size
				want = append(want, "demo/"+record.Name)
			}
			if _, err := store.untilListed(t.Context(), want...); err != nil {
				t.Fatal(err)
			}
			grown := heapBytes() - before
			t.Logf(
				"a record of %d bytes of JSON takes %d bytes of memory, and %d in etcd until its old revision is "+
					"dropped",
				encoded/records, grown/records, (store.inUse(t)-stored)/records)
			if limit := int64(records*fixed + encoded*factor); grown > limit {
				t.Errorf("%d records of %d bytes of JSON take %d bytes of memory, want at most %d", records, encoded,
					grown, limit)
			}
		})
	}
}
