// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhookdelivery stores deliveries in etcd and serves them: create, get, list, watch, delete and table
// columns. It must not depend on how a delivery is executed; Create passes it to an Executor.
package webhookdelivery

import (
	"context"
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
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"postern.dev/postern/apis/postern"
)

// Store stores the records of deliveries. It does not authenticate and runs no admission; its callers do.
type Store struct {
	store *genericregistry.Store
}

// NewStore returns the store of deliveries, which expire after ttl. The minimum is one second, etcd's shortest lease.
func NewStore(scheme *runtime.Scheme, options generic.RESTOptionsGetter, ttl time.Duration) (*Store, error) {
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
			return uint64(timeToLive(obj, max(ttl, time.Second), time.Now()).Seconds()), nil
		},
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: options, AttrFunc: getAttrs}); err != nil {
		return nil, fmt.Errorf("could not set up the storage of deliveries: %w", err)
	}
	return &Store{store: store}, nil
}

// timeToLive returns how long a record is kept from now, in whole seconds, at least one. Updates of a pending record
// restart it. Later it runs from the creation, or from the time when the delivery was applied: repeats counted in the
// record do not extend it.
func timeToLive(obj runtime.Object, ttl time.Duration, now time.Time) time.Duration {
	d, ok := obj.(*postern.WebhookDelivery)
	if !ok || d.Status.Phase == postern.DeliveryPending {
		return ttl.Truncate(time.Second)
	}
	since := d.CreationTimestamp.Time
	if applied := meta.FindStatusCondition(d.Status.Conditions, postern.ConditionApplied); applied != nil &&
		applied.Status == metav1.ConditionTrue && applied.LastTransitionTime.After(since) {
		since = applied.LastTransitionTime.Time
	}
	if since.IsZero() {
		return ttl.Truncate(time.Second)
	}
	left := since.Add(time.Second).Sub(now) + ttl // times in records are truncated to seconds
	return min(max(left, time.Second), ttl).Truncate(time.Second)
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

// Delete deletes a record. It returns a conflict if the record was changed since it was read.
func (s *Store) Delete(ctx context.Context, delivery *postern.WebhookDelivery) error {
	_, _, err := s.store.Delete(genericapirequest.WithNamespace(ctx, delivery.Namespace), delivery.Name,
		rest.ValidateAllObjectFunc, &metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &delivery.UID, ResourceVersion: &delivery.ResourceVersion}})
	return err
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
