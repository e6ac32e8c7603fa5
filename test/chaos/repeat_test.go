// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestDedup_FiftyAtOnceMakeOneRecordAndWrite(t *testing.T) {
	const times = 50
	startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, 1, 0)
	anonymous, secret := w.signer()
	g := w.targets[0]
	writes := w.countWrites(g)

	r := release(g, "v1.0.0", time.Now().Add(-time.Hour))
	r.header["X-Hub-Signature-256"] = testcluster.Sign(secret, r.body)
	l := &ledger{}
	ready := make(chan struct{})
	var work sync.WaitGroup
	for range times {
		work.Go(func() {
			<-ready
			l.send(anonymous, r)
		})
	}
	close(ready)
	work.Wait()

	w.onlyCodes(l, http.StatusAccepted)
	names := map[string]int{}
	for _, e := range l.all() {
		names[e.record]++
	}
	if len(names) != 1 {
		t.Errorf("the answers name %d records, want 1", len(names))
	}
	if outcomes := w.settled(settleWithin); len(outcomes) != 1 {
		t.Errorf("got %d records, want 1", len(outcomes))
	}
	if got := writes(); got != 1 {
		t.Errorf("the target was changed %d times, want 1", got)
	}
	w.check(l)
}

// signer returns an unauthenticated sender, and the secret that signs its deliveries.
func (w *world) signer() (anonymous sender, secret string) {
	w.T.Helper()
	secret = rand.Text()
	w.SetWebhookSecrets(map[string]string{"hmac": secret})
	w.allow(testcluster.Unauthenticated)
	anonymous = w.sender("")
	w.untilAccepted(anonymous, map[string]string{"X-Hub-Signature-256": testcluster.Sign(secret, useless)})
	return anonymous, secret
}

// countWrites returns a function that returns the number of changes of a target since. It may be called once. A watch
// reports each change once, and no-op writes never.
func (w *world) countWrites(g target) (count func() int) {
	w.T.Helper()
	object := w.Objects.Resource(g.resource).Namespace(w.Namespace)
	now, err := object.Get(w.T.Context(), g.name, metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	changes, err := object.Watch(w.T.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=" + g.name, ResourceVersion: now.GetResourceVersion(),
	})
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(changes.Stop)
	return func() int {
		w.T.Helper()
		const last = "chaos.example.com/last"
		patch,
			err := json.Marshal(
			map[string]any{"metadata": map[string]any{"annotations": map[string]string{last: "true"}}})
		if err != nil {
			w.T.Fatal(err)
		}
		if _, err := object.Patch(w.T.Context(), g.name, types.MergePatchType, patch,
			metav1.PatchOptions{}); err != nil {
			w.T.Fatal(err)
		}
		before := 0
		for event := range changes.ResultChan() {
			obj, ok := event.Object.(*unstructured.Unstructured)
			if !ok || event.Type != watch.Modified {
				w.T.Fatalf("the watch reports %s %v", event.Type, event.Object)
			}
			if obj.GetAnnotations()[last] != "" {
				return before
			}
			before++
		}
		w.T.Fatal("the watch ended early")
		return 0
	}
}
