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
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/etcd"
)

// expiring is a store in an etcd of its own, and a client of that etcd.
type expiring struct {
	*Store
	etcd *clientv3.Client
}

func newExpiring(t *testing.T, ttl time.Duration) expiring {
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
	config := storagebackend.NewDefaultConfig("/registry", serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.SchemeGroupVersion))
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
	return expiring{store, client}
}

// leaseSeconds is the time to live that the lease of a record was granted; an error if the record has no lease.
func (e expiring) leaseSeconds(ctx context.Context, name string) (int64, error) {
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

// pending is a record as it is first stored.
func pending(name string) *postern.WebhookDelivery {
	d := applied()
	d.ObjectMeta = metav1.ObjectMeta{Namespace: "demo", Name: name}
	d.Status.Phase = postern.DeliveryPending
	return d
}

func TestEveryRecordHasALeaseOfTheTTLBeforeAndAfterItsStatusIsUpdated(t *testing.T) {
	const ttl, reused = 100, 5 // seconds; etcd3's lease manager adds 5% to share leases
	store := newExpiring(t, ttl*time.Second)
	ctx := genericapirequest.WithNamespace(t.Context(), "demo")

	record, err := store.Create(ctx, pending("d"), false)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		got, err := store.leaseSeconds(ctx, "d")
		if err != nil || got < ttl || got > ttl+reused {
			t.Errorf("%s: got a lease of %d seconds, %v; want %d to %d", when, got, err, ttl, ttl+reused)
		}
	}
	check("created")
	record.Status.Phase = postern.DeliveryApplied
	if _, err := store.UpdateStatus(ctx, record); err != nil {
		t.Fatal(err)
	}
	check("updated")
}

func TestRecordExpiresAlsoAfterItsStatusWasUpdatedAndWatchersAreTold(t *testing.T) {
	store := newExpiring(t, 3*time.Second)
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

	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := store.store.Get(ctx, "d", &metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		t.Fatalf("the record did not expire: %v", err)
	}
	select {
	case event := <-watcher.ResultChan():
		if event.Type != watch.Deleted {
			t.Errorf("watchers were told %s, want DELETED", event.Type)
		}
	case <-time.After(time.Minute):
		t.Error("watchers were told nothing")
	}
}
