// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// fakeRecords stores records in memory.
type fakeRecords struct {
	mu      sync.Mutex
	records []postern.WebhookDelivery
	refuse  map[string]error // of Delete, by name
}

func (f *fakeRecords) Evict(_ context.Context, record *postern.WebhookDelivery) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refuse[record.Name]; err != nil {
		return err
	}
	f.records = slices.DeleteFunc(f.records, func(r postern.WebhookDelivery) bool {
		return r.Name == record.Name && r.Namespace == record.Namespace
	})
	return nil
}

// names returns the sorted names of the remaining records.
func (f *fakeRecords) names() []string {
	var names []string
	for _, r := range f.records {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names
}

// recordOf returns a record that was created at a number of seconds.
func recordOf(name string, second, microsecond int, phase postern.DeliveryPhase) postern.WebhookDelivery {
	d := postern.WebhookDelivery{}
	d.Name = name
	d.CreationTimestamp = metav1.Time{Time: time.Unix(int64(1_000_000+second), 0)}
	d.Status.ReceivedTime = &metav1.MicroTime{
		Time: d.CreationTimestamp.Add(time.Duration(microsecond) * time.Microsecond),
	}
	d.Status.Phase = phase
	return d
}

// recordsOf returns n records in a phase, r000 the oldest, in another order.
func recordsOf(n int, phase postern.DeliveryPhase) []postern.WebhookDelivery {
	var records []postern.WebhookDelivery
	for i := range n {
		records = append(records, recordOf(fmt.Sprintf("r%03d", i), i, 0, phase))
	}
	slices.Reverse(records)
	return records
}
