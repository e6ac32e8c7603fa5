// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	framework "k8s.io/client-go/tools/cache/testing"

	"postern.dev/postern/apis/postern"
)

func TestRecordIndex_handlesStoredAndNewRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record := func(name string, phase postern.DeliveryPhase) *postern.WebhookDelivery {
			d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}}
			d.Status.Phase = phase
			return d
		}
		source, handled := framework.NewFakeControllerSource(), []string{}
		source.Add(record("before", "Applied"))
		w := NewRecordIndex()
		w.SetSource(source, func(d *postern.WebhookDelivery) {
			handled = append(handled, d.Name+" "+string(d.Status.Phase))
		})
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
		if diff := cmp.Diff([]string{"before Applied", "after Pending", "after Applied"}, handled); diff != "" {
			t.Errorf("handled (-want +got):\n%s", diff)
		}
	})
}
