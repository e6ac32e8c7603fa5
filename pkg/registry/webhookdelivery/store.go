// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhookdelivery stores deliveries in etcd and serves them: create, get, list, watch, updates of
// the metadata, delete and table columns. It must not depend on how a delivery is executed; Create passes it to an
// Executor.
package webhookdelivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	storeerr "k8s.io/apiserver/pkg/storage/errors"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"

	"postern.dev/postern/apis/postern"
)

// Store stores the records of deliveries. It does not authenticate and runs no admission; its callers do.
type Store struct {
	store *genericregistry.Store
	// clients is the same store for updates by clients.
	clients *genericregistry.Store
}

// NewStore returns the store of deliveries, which expire after ttl. The minimum is one second, etcd's shortest lease.
func NewStore(scheme *runtime.Scheme, options generic.RESTOptionsGetter, ttl time.Duration) (*Store, error) {
	ttl = max(ttl, time.Second)
	strategy := newStrategy(scheme)
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &postern.WebhookDelivery{} },
		NewListFunc:               func() runtime.Object { return &postern.WebhookDeliveryList{} },
		PredicateFunc:             matchDelivery,
		DefaultQualifiedResource:  postern.Resource("webhookdeliveries"),
		SingularQualifiedResource: postern.Resource("webhookdelivery"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		TableConvertor:            tableConvertor{},
		// The storage always passes 0 for the second argument, the remaining time; 0 means no expiration.
		TTLFunc: func(obj runtime.Object, _ uint64, _ bool) (uint64, error) {
			return uint64(timeToLive(obj.(*postern.WebhookDelivery), ttl, time.Now()).Seconds()), nil
		},
	}
	leased := leasedOptions{options, ttl}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: leased, AttrFunc: getAttrs}); err != nil {
		return nil, fmt.Errorf("could not set up the storage of deliveries: %w", err)
	}
	clients := *store
	clients.UpdateStrategy = clientStrategy{strategy}
	clients.TTLFunc = func(obj runtime.Object, _ uint64, _ bool) (uint64, error) {
		d := obj.(*postern.WebhookDelivery)
		left := timeLeft(d, ttl, time.Now())
		if left < time.Second {
			return 0, apierrors.NewNotFound(postern.Resource("webhookdeliveries"), d.Name)
		}
		return uint64(left.Seconds()), nil
	}
	return &Store{store: store, clients: &clients}, nil
}

// leasedOptions makes every storage a leasedStorage, before CompleteWithOptions starts to read the storage in the
// background.
type leasedOptions struct {
	generic.RESTOptionsGetter
	ttl time.Duration
}

// GetRESTOptions returns the options with a decorator of their storage.
func (o leasedOptions) GetRESTOptions(
	resource schema.GroupResource, example runtime.Object,
) (generic.RESTOptions, error) {
	options, err := o.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return options, err
	}
	decorate := options.Decorator
	options.Decorator = func(
		config *storagebackend.ConfigForResource, prefix string, key func(runtime.Object) (string, error),
		newFunc, newListFunc func() runtime.Object, attrs storage.AttrFunc, trigger storage.IndexerFuncs,
		indexers *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		s, destroy, err := decorate(config, prefix, key, newFunc, newListFunc, attrs, trigger, indexers)
		return leasedStorage{s, o.ttl}, destroy, err
	}
	return options, nil
}

// leasedStorage keeps the lease of a record in updates that do not set one, such as the deletion of a record that a
// finalizer keeps: in etcd, an update without a lease removes it.
type leasedStorage struct {
	storage.Interface
	ttl time.Duration
}

// GuaranteedUpdate sets the remaining time to live if tryUpdate does not.
func (s leasedStorage) GuaranteedUpdate(
	ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, cachedExistingObject runtime.Object,
) error {
	withLease := func(input runtime.Object, res storage.ResponseMeta) (runtime.Object, *uint64, error) {
		output, ttl, err := tryUpdate(input, res)
		if d, ok := output.(*postern.WebhookDelivery); ok && err == nil && ttl == nil {
			seconds := uint64(timeToLive(d, s.ttl, time.Now()).Seconds())
			ttl = &seconds
		}
		return output, ttl, err
	}
	return s.Interface.GuaranteedUpdate(ctx, key, destination, ignoreNotFound, preconditions, withLease,
		cachedExistingObject)
}

// timeToLive returns how long a record is kept from now, in whole seconds, at least one, if Postern stores it. Updates
// of a pending record restart it. Later it runs from the creation, or from the time when the delivery was applied or
// released: repeats counted in the record do not extend it. A held record does not expire, which is 0.
func timeToLive(d *postern.WebhookDelivery, ttl time.Duration, now time.Time) time.Duration {
	if d.Status.Phase == postern.DeliveryHeld {
		return 0
	}
	if d.Status.Phase == postern.DeliveryPending {
		return ttl.Truncate(time.Second)
	}
	return max(timeLeft(d, ttl, now), time.Second)
}

// timeLeft returns how long a record may be kept from now, in whole seconds, if a client updates it. It is not positive
// once the record has expired, even if the lease in etcd has not: a client could keep the record by updates. A pending
// record may be kept for a second time to live, in which its delivery ends.
func timeLeft(d *postern.WebhookDelivery, ttl time.Duration, now time.Time) time.Duration {
	since := d.CreationTimestamp.Time
	if d.Status.Phase == postern.DeliveryHeld {
		return ttl.Truncate(time.Second)
	}
	if d.Status.Phase == postern.DeliveryPending {
		since = since.Add(ttl)
	}
	if held := meta.FindStatusCondition(d.Status.Conditions, postern.ConditionHeld); held != nil &&
		held.LastTransitionTime.After(since) {
		since = held.LastTransitionTime.Time
	}
	if applied := meta.FindStatusCondition(d.Status.Conditions, postern.ConditionApplied); applied != nil &&
		applied.Status == metav1.ConditionTrue && applied.LastTransitionTime.After(since) {
		since = applied.LastTransitionTime.Time
	}
	if since.IsZero() {
		return ttl.Truncate(time.Second)
	}
	left := since.Add(time.Second).Sub(now) + ttl // times in records are truncated to seconds
	return min(left, ttl).Truncate(time.Second)
}

// Create stores a new record and returns it as stored. In a dry run it only validates the record.
func (s *Store) Create(
	ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool,
) (*postern.WebhookDelivery, error) {
	ctx = genericapirequest.WithNamespace(ctx, delivery.Namespace)
	created, err := s.store.Create(ctx, delivery, rest.ValidateAllObjectFunc,
		&metav1.CreateOptions{DryRun: dryRunOption(dryRun)})
	if err != nil {
		return nil, convertSizeError(err)
	}
	return created.(*postern.WebhookDelivery), nil
}

// Get returns a record.
func (s *Store) Get(ctx context.Context, namespace, name string) (*postern.WebhookDelivery, error) {
	got, err := s.store.Get(genericapirequest.WithNamespace(ctx, namespace), name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return got.(*postern.WebhookDelivery), nil
}

// UpdateStatus stores the status of a record. It returns a conflict if the record was changed since it was read.
func (s *Store) UpdateStatus(ctx context.Context, delivery *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
	ctx = genericapirequest.WithNamespace(ctx, delivery.Namespace)
	updated, _, err := s.store.Update(ctx, delivery.Name, rest.DefaultUpdatedObjectInfo(delivery),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	if err != nil {
		return nil, convertSizeError(err)
	}
	return updated.(*postern.WebhookDelivery), nil
}

// Count returns the number of records of all namespaces in the watch cache.
func (s *Store) Count(ctx context.Context) (int64, error) {
	stats, err := s.store.Storage.Stats(ctx)
	if err != nil {
		return 0, fmt.Errorf("could not count the deliveries: %w", err)
	}
	return stats.ObjectCount, nil
}

// List returns the records of all namespaces from the watch cache. They are shared and must not be modified.
func (s *Store) List(ctx context.Context) ([]postern.WebhookDelivery, error) {
	list, err := s.store.List(genericapirequest.WithNamespace(ctx, metav1.NamespaceAll),
		&internalversion.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("could not list the deliveries: %w", err)
	}
	return list.(*postern.WebhookDeliveryList).Items, nil
}

// UpdateMetadata stores what a client changes of a record's metadata.
func (s *Store) UpdateMetadata(
	ctx context.Context, name string, object rest.UpdatedObjectInfo, validate rest.ValidateObjectUpdateFunc,
	options *metav1.UpdateOptions,
) (runtime.Object, error) {
	const allowCreate = false
	updated, _, err := s.clients.Update(ctx, name, object, rest.ValidateAllObjectFunc, validate, allowCreate, options)
	if err != nil {
		return nil, convertSizeError(err)
	}
	return updated, nil
}

// Evict deletes a record regardless of its finalizers and of changes since it was read: a client must not be able to
// keep records over the limits. It returns a conflict if the delivery is pending or held.
func (s *Store) Evict(ctx context.Context, delivery *postern.WebhookDelivery) error {
	key, err := s.store.KeyFunc(genericapirequest.WithNamespace(ctx, delivery.Namespace), delivery.Name)
	if err != nil {
		return err
	}
	resource := s.store.DefaultQualifiedResource
	notPending := func(_ context.Context, obj runtime.Object) error {
		if phase := obj.(*postern.WebhookDelivery).Status.Phase; phase == postern.DeliveryPending ||
			phase == postern.DeliveryHeld {
			return apierrors.NewConflict(resource, delivery.Name, errors.New("the delivery is pending or held"))
		}
		return nil
	}
	const dryRun = false
	err = s.store.Storage.Delete(ctx, key, s.store.NewFunc(), &storage.Preconditions{UID: &delivery.UID}, notPending,
		dryRun, nil, storage.DeleteOptions{})
	return storeerr.InterpretDeleteError(err, resource, delivery.Name)
}

// ReadinessCheck returns an error until the watch cache is filled; lists and watches fail before.
func (s *Store) ReadinessCheck() error { return s.store.ReadinessCheck() }

func dryRunOption(dryRun bool) []string {
	if dryRun {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// tooLargeForEtcd is etcd's error for a request larger than --max-request-bytes, 1.5 MiB by default.
// Source: ErrRequestTooLarge in go.etcd.io/etcd/api, v3rpc/rpctypes/error.go.
const tooLargeForEtcd = "etcdserver: request is too large"

// convertSizeError converts etcd's error for a record that is too large, and can never be stored, to a 413.
func convertSizeError(err error) error {
	switch {
	case strings.Contains(err.Error(), tooLargeForEtcd):
	case status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "message larger than max"):
		// gRPC's limit
	default:
		return err
	}
	return apierrors.NewRequestEntityTooLargeError("the record of the delivery is larger than etcd accepts: " +
		err.Error())
}
