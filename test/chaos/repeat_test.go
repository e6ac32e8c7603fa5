// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"postern.dev/postern/test/controlplane"
)

func TestOneDeliverySentFiftyTimesAtOnceMakesOneRecordAndOneWrite(t *testing.T) {
	const times = 50
	startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, 1, 0)
	anonymous, secret := w.signer()
	g := w.targets[0]
	writes := w.countWrites(g)

	r := release(g, "v1.0.0", time.Now().Add(-time.Hour))
	r.header["X-Hub-Signature-256"] = sign(secret, r.body)
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
	w.t.Helper()
	secret = rand.Text()
	if _, err := w.kube.CoreV1().Secrets(w.namespace).Create(w.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "postern-webhook-secrets"},
		StringData: map[string]string{"hmac": secret},
	}, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.allow(rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"})
	anonymous = w.sender("")
	w.untilAccepted(anonymous, map[string]string{"X-Hub-Signature-256": sign(secret, useless)})
	return anonymous, secret
}

// sign returns the value of X-Hub-Signature-256 for a body.
func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// countWrites returns a function that returns the number of changes of a target since. It may be called once. A watch
// reports each change once, and no-op writes never.
func (w *world) countWrites(g target) (count func() int) {
	w.t.Helper()
	object := w.objects.Resource(g.resource).Namespace(w.namespace)
	now, err := object.Get(w.t.Context(), g.name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	changes, err := object.Watch(w.t.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=" + g.name, ResourceVersion: now.GetResourceVersion(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(changes.Stop)
	return func() int {
		w.t.Helper()
		const last = "chaos.example.com/last"
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{last: "true"}}})
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := object.Patch(w.t.Context(), g.name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			w.t.Fatal(err)
		}
		before := 0
		for event := range changes.ResultChan() {
			obj, ok := event.Object.(*unstructured.Unstructured)
			if !ok || event.Type != watch.Modified {
				w.t.Fatalf("the watch reports %s %v", event.Type, event.Object)
			}
			if obj.GetAnnotations()[last] != "" {
				return before
			}
			before++
		}
		w.t.Fatal("the watch ended early")
		return 0
	}
}
