// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/etcd"
)

// storeFixture is a store with its own etcd and a client of it.
type storeFixture struct {
	*Store
	etcd *clientv3.Client
}

func newStoreFixture(t *testing.T, ttl time.Duration) storeFixture {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttl") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	member, err := etcd.Start(t.Context(), etcd.Config{DataDir: dir, QuotaBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(member.Close)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{member.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })

	scheme := newScheme()
	config := storagebackend.NewDefaultConfig("/registry",
		serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.SchemeGroupVersion))
	config.Transport.ServerList = []string{member.Endpoint()}
	store, err := NewStore(scheme, generic.RESTOptions{
		StorageConfig:  config.ForResource(postern.Resource("webhookdeliveries")),
		Decorator:      genericregistry.StorageWithCacher(),
		ResourcePrefix: "/webhookdeliveries",
	}, ttl)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.store.Destroy)
	return storeFixture{store, client}
}

// leaseSeconds returns the granted time to live of a record's lease, or an error if the record has no lease.
func (e storeFixture) leaseSeconds(ctx context.Context, name string) (int64, error) {
	got, err := e.etcd.Get(ctx, "/registry/", clientv3.WithPrefix())
	if err != nil {
		return 0, err
	}
	for _, kv := range got.Kvs {
		if !strings.HasSuffix(string(kv.Key), "/"+name) {
			continue
		}
		if kv.Lease == 0 {
			return 0, errors.New("the record has no lease: it would never expire")
		}
		lease, err := e.etcd.TimeToLive(ctx, clientv3.LeaseID(kv.Lease))
		if err != nil {
			return 0, err
		}
		return lease.GrantedTTL, nil
	}
	return 0, fmt.Errorf("etcd has no record %s", name)
}

// pending returns a record as it is first stored.
func pending(name string) *postern.WebhookDelivery {
	d := applied()
	d.ObjectMeta = metav1.ObjectMeta{Namespace: "demo", Name: name}
	d.Status.Phase = postern.DeliveryPending
	return d
}

func TestTTL_LeaseBeforeAndAfterUpdate(t *testing.T) {
	const ttl, reused = 100, 5 // seconds; etcd3's lease manager adds 5% to reuse leases
	store := newStoreFixture(t, ttl*time.Second)
	ctx := genericapirequest.WithNamespace(t.Context(), "demo")

	record, err := store.Create(ctx, pending("d"), false)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name, when string) {
		t.Helper()
		got, err := store.leaseSeconds(ctx, name)
		if err != nil || got < ttl || got > ttl+reused {
			t.Errorf("%s: got a lease of %d seconds, %v; want %d to %d", when, got, err, ttl, ttl+reused)
		}
	}
	check("d", "created")
	record.Status.Phase = postern.DeliveryApplied
	if _, err := store.UpdateStatus(ctx, record); err != nil {
		t.Fatal(err)
	}
	check("d", "updated")

	once := pending("once")
	once.Status.Phase = postern.DeliveryApplied
	if _, err := store.Create(ctx, once, false); err != nil {
		t.Fatal(err)
	}
	check("once", "created with its outcome")
}

func TestTTL_ExpiryAfterUpdateIsWatched(t *testing.T) {
	store := newStoreFixture(t, 3*time.Second)
	ctx := genericapirequest.WithNamespace(t.Context(), "demo")
	record, err := store.Create(ctx, pending("d"), false)
	if err != nil {
		t.Fatal(err)
	}
	record.Status.Phase = postern.DeliveryApplied
	if record, err = store.UpdateStatus(ctx, record); err != nil {
		t.Fatal(err)
	}
	watcher, err := store.store.Watch(ctx, &internalversion.ListOptions{ResourceVersion: record.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()

	condition := func(ctx context.Context) (bool, error) {
		_, err := store.store.Get(ctx, "d", &metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, condition)
	if err != nil {
		t.Fatalf("the record did not expire: %v", err)
	}
	select {
	case event := <-watcher.ResultChan():
		if event.Type != watch.Deleted {
			t.Errorf("got the event %s, want DELETED", event.Type)
		}
	case <-time.After(time.Minute):
		t.Error("got no event")
	}
}

// A client could keep a record by updating it more often than the shortest lease of etcd.
func TestTTL_ClientsDoNotExtend(t *testing.T) {
	const ttl = time.Hour
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	for _, test := range []struct {
		phase   postern.DeliveryPhase
		created time.Duration
		want    time.Duration
	}{
		{"Applied", 0, ttl},
		{"Failed", 20 * time.Minute, 40 * time.Minute},
		{"Failed", ttl + time.Minute, -time.Minute},
		{"Pending", 0, ttl},
		{"Pending", ttl, ttl},
		{"Pending", ttl + 20*time.Minute, 40 * time.Minute},
		{"Pending", 2*ttl + time.Minute, -time.Minute},
	} {
		d := &postern.WebhookDelivery{}
		d.CreationTimestamp = metav1.NewTime(now.Add(-test.created).Truncate(time.Second))
		d.Status.Phase = test.phase
		if got := timeLeft(d, ttl, now); got > test.want+time.Second || got < test.want-time.Second {
			t.Errorf("%s, %s old: %s are left, want %s", test.phase, test.created, got, test.want)
		}
	}
}

func TestTTL_ExpiredRecordIsNotUpdated(t *testing.T) {
	store := newStoreFixture(t, 2*time.Second)
	ctx := genericapirequest.WithNamespace(t.Context(), "demo")
	record := pending("d")
	record.Status.Phase = postern.DeliveryApplied
	if _, err := store.Create(ctx, record, false); err != nil {
		t.Fatal(err)
	}
	storage := NewREST(store.Store, &fakeExecutor{})
	updates := 0
	relabel := func(_ context.Context, _, old runtime.Object) (runtime.Object, error) {
		d := old.DeepCopyObject().(*postern.WebhookDelivery)
		d.Labels = map[string]string{"update": fmt.Sprint(updates)}
		return d, nil
	}
	condition := func(ctx context.Context) (bool, error) {
		updates++
		_, _, err := storage.Update(ctx, "d", rest.DefaultUpdatedObjectInfo(nil, relabel), nil,
			rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	}
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, condition)
	if err != nil || updates < 2 {
		t.Errorf("the record is still updated after %d updates: %v", updates, err)
	}
}

func TestTTL_FromCreationOrApplied(t *testing.T) {
	const ttl = time.Hour
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	at := func(ago time.Duration) metav1.Time { return metav1.NewTime(now.Add(-ago).Truncate(time.Second)) }
	applied := func(ago time.Duration, status metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: postern.ConditionApplied, Status: status, LastTransitionTime: at(ago)}}
	}
	for _, test := range []struct {
		name       string
		phase      postern.DeliveryPhase
		created    time.Duration
		conditions []metav1.Condition
		want       time.Duration
	}{
		{"new", "Ignored", 0, nil, ttl},
		{"applied at once", "Applied", 0, applied(0, "True"), ttl},
		{"updated after a while", "Applied", 20 * time.Minute, applied(20*time.Minute, "True"), 40 * time.Minute},
		{"applied after a while", "Applied", 50 * time.Minute, applied(20*time.Minute, "True"), 40 * time.Minute},
		{"failed again and again", "Failed", 50 * time.Minute, applied(20*time.Minute, "False"), 10 * time.Minute},
		{"updated at its end", "Failed", 2 * time.Hour, nil, time.Second},
		{"pending", "Pending", 50 * time.Minute, applied(20*time.Minute, "False"), ttl},
		{"created in the future, by another clock", "Applied", -time.Hour, nil, ttl},
	} {
		d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: at(test.created)}}
		d.Status.Phase, d.Status.Conditions = test.phase, test.conditions
		if got := timeToLive(d, ttl, now); got > test.want || got < test.want-time.Second {
			t.Errorf("%s: lives for %s, want %s", test.name, got, test.want)
		}
	}
}

// Each counted repeat is an update. The minimum lease of etcd is two seconds, so the updates must be further apart.
func TestTTL_UpdatesDoNotExtend(t *testing.T) {
	const ttl, apart = 4 * time.Second, 3 * time.Second
	store := newStoreFixture(t, ttl)
	record := pending("d")
	record.Status.Phase = postern.DeliveryApplied
	if _, err := store.Create(t.Context(), record, false); err != nil {
		t.Fatal(err)
	}
	updates := int64(0)
	condition := func(ctx context.Context) (bool, error) {
		record, err := store.Get(ctx, "demo", "d")
		if err == nil {
			updates++
			record.Status.Repeats = &postern.Repeats{Count: updates}
			_, err = store.UpdateStatus(ctx, record)
		}
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	}
	err := wait.PollUntilContextTimeout(t.Context(), apart, time.Minute, false, condition)
	if err != nil {
		t.Errorf("the record is still there after %d updates: %v", updates, err)
	}
}
