// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
)

func TestGarbageCollector_DeletesOldest(t *testing.T) {
	for _, test := range []struct {
		name    string
		records []postern.WebhookDelivery
		max     int64
		crowded bool
		left    int // the youngest
	}{
		{"none", nil, 10, false, 0},
		{"as many as allowed", recordsOf(10, postern.DeliveryApplied), 10, false, 10},
		{"one more", recordsOf(11, postern.DeliveryApplied), 10, false, 9},
		{"many more", recordsOf(300, postern.DeliveryIgnored), 100, false, 90},
		{"few, but the storage is short of space", recordsOf(21, postern.DeliveryFailed), 100, true, 18},
		{"none, and the storage is short of space", nil, 100, true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			records := &fakeRecords{records: test.records}
			c := &GarbageCollector{
				Records: records, Index: indexOf(t, test.records...), Max: test.max, MaxBytes: noByteLimit,
				NearQuota: func() bool { return test.crowded },
			}
			if err := c.collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := (&fakeRecords{records: test.records[:test.left]}).names()
			if diff := cmp.Diff(want, records.names()); diff != "" {
				t.Errorf("remaining records (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGarbageCollector_KeepsPending(t *testing.T) {
	records := &fakeRecords{}
	for i := range 20 {
		phase := postern.DeliveryPending
		if i%4 == 3 {
			phase = postern.DeliveryApplied
		}
		records.records = append(records.records, recordsOf(20, phase)[i])
	}
	c := &GarbageCollector{Records: records, Index: indexOf(t, records.records...), Max: 10, MaxBytes: noByteLimit}
	if err := c.collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range records.records {
		if r.Status.Phase != postern.DeliveryPending {
			t.Errorf("%s remains, in phase %s", r.Name, r.Status.Phase)
		}
	}
	if got := len(records.records); got != 15 {
		t.Errorf("%d records remain, want the 15 pending ones", got)
	}
}

func TestGarbageCollector_OrdersWithinOneSecond(t *testing.T) {
	index := indexOf(t,
		recordOf("third", 1, 100, postern.DeliveryApplied),
		recordOf("second", 1, 99, postern.DeliveryApplied),
		recordOf("first", 0, 101, postern.DeliveryApplied),
	)
	var got []string
	for _, r := range evict(index.deletable(), index.usageByNamespace(), 0, func(h usage) int64 { return h.records }) {
		got = append(got, r.Name)
	}
	if diff := cmp.Diff([]string{"first", "second", "third"}, got); diff != "" {
		t.Errorf("oldest first (-want +got):\n%s", diff)
	}
}

func TestGarbageCollector_SkipsChangedRecords(t *testing.T) {
	records := &fakeRecords{records: recordsOf(20, postern.DeliveryApplied), refuse: map[string]error{
		"r000": apierrors.NewNotFound(postern.Resource("webhookdeliveries"), "r000"),
		"r001": apierrors.NewConflict(postern.Resource("webhookdeliveries"), "r001", errors.New("changed")),
	}}
	c := &GarbageCollector{Records: records, Index: indexOf(t, records.records...), Max: 10, MaxBytes: noByteLimit}
	if err := c.collect(t.Context()); err != nil {
		t.Error(err)
	}
	if got := len(records.records); got != 11 {
		t.Errorf("%d records remain, want 11", got)
	}
}

func TestGarbageCollector_ReportsStorageErrors(t *testing.T) {
	broken := errors.New("broken")
	records := &fakeRecords{records: recordsOf(11, postern.DeliveryApplied), refuse: map[string]error{"r000": broken}}
	c := &GarbageCollector{Records: records, Index: indexOf(t, records.records...), Max: 10, MaxBytes: noByteLimit}
	if err := c.collect(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got error %v", err)
	}
}

// A namespace that delivers little keeps its history.
func TestGarbageCollector_LargestNamespaceFirst(t *testing.T) {
	old, young := recordsOf(10, postern.DeliveryApplied), recordsOf(100, postern.DeliveryApplied)
	for i := range young {
		young[i].CreationTimestamp.Time = young[i].CreationTimestamp.Add(time.Hour)
	}
	large := in("large", recordsOf(3, postern.DeliveryApplied))
	for i := range large {
		large[i].Annotations = map[string]string{"x": strings.Repeat("a", 100_000)}
	}
	for _, test := range []struct {
		name     string
		records  []postern.WebhookDelivery
		max      int64
		maxBytes int64
		want     map[string]int // how many are left
	}{
		{
			"of records", slices.Concat(in("quiet", old), in("busy", young)), 50, noByteLimit,
			map[string]int{"quiet": 10, "busy": 35},
		},
		{
			"of two larger ones", slices.Concat(in("quiet", old), in("busy", young),
				in("busier", young)), 50, noByteLimit,
			map[string]int{"quiet": 10, "busy": 18, "busier": 17},
		},
		{
			"of bytes", slices.Concat(in("quiet", old), large), noByteLimit, 200_000,
			map[string]int{"quiet": 10, "large": 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			records := &fakeRecords{records: test.records}
			c := &GarbageCollector{
				Records: records, Index: indexOf(t, test.records...), Max: test.max, MaxBytes: test.maxBytes,
			}
			if err := c.collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, r := range records.records {
				got[r.Namespace]++
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("remaining records (-want +got):\n%s", diff)
			}
		})
	}
}
