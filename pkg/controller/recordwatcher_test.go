// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	framework "k8s.io/client-go/tools/cache/testing"

	"postern.dev/postern/apis/postern"
)

// fakeRecordHandler notes what it is told.
type fakeRecordHandler struct {
	mu   sync.Mutex
	told []string
}

func (l *fakeRecordHandler) HandleRecord(record *postern.WebhookDelivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, record.Name+" "+string(record.Status.Phase))
}

func TestHistoryTellsOfWhatIsStoredAndWhatIsStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record := func(name string, phase postern.DeliveryPhase) *postern.WebhookDelivery {
			d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}}
			d.Status.Phase = phase
			return d
		}
		source, l := framework.NewFakeControllerSource(), &fakeRecordHandler{}
		source.Add(record("before", "Applied"))
		h := NewRecordWatcher(source, l)
		if h.HasSynced() {
			t.Error("it has synced before it was started")
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer source.Shutdown()
		defer synctest.Wait()
		defer cancel()
		go func() { _ = h.Start(ctx) }()
		synctest.Wait()
		if !h.HasSynced() {
			t.Error("it has not synced")
		}
		source.Add(record("after", "Pending"))
		source.Modify(record("after", "Applied"))
		source.Delete(record("before", "Applied"))
		synctest.Wait()
		if diff := cmp.Diff([]string{"before Applied", "after Pending", "after Applied"}, l.told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}
