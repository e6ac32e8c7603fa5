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

// fakeRecordHandler notes the records that it handles.
type fakeRecordHandler struct {
	mu      sync.Mutex
	handled []string
}

func (h *fakeRecordHandler) HandleRecord(record *postern.WebhookDelivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handled = append(h.handled, record.Name+" "+string(record.Status.Phase))
}

func TestHistoryTellsOfWhatIsStoredAndWhatIsStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record := func(name string, phase postern.DeliveryPhase) *postern.WebhookDelivery {
			d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}}
			d.Status.Phase = phase
			return d
		}
		source, handler := framework.NewFakeControllerSource(), &fakeRecordHandler{}
		source.Add(record("before", "Applied"))
		w := NewRecordWatcher(source, handler)
		if w.HasSynced() {
			t.Error("HasSynced is true before Start")
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer source.Shutdown()
		defer synctest.Wait()
		defer cancel()
		go func() { _ = w.Start(ctx) }()
		synctest.Wait()
		if !w.HasSynced() {
			t.Error("HasSynced is false")
		}
		source.Add(record("after", "Pending"))
		source.Modify(record("after", "Applied"))
		source.Delete(record("before", "Applied"))
		synctest.Wait()
		if diff := cmp.Diff([]string{"before Applied", "after Pending", "after Applied"}, handler.handled); diff != "" {
			t.Errorf("handled (-want +got):\n%s", diff)
		}
	})
}
