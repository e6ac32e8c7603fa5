// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhookdelivery stores deliveries in etcd and serves them: create, get, list, watch, delete and table
// columns. It must not know how a delivery is carried out; creating one hands it to a Carrier.
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

// Store keeps the records of deliveries. It checks no credential and runs no admission: its callers have done so.
type Store struct {
	store *genericregistry.Store
}

// NewStore returns the store of deliveries, each of which expires after ttl. Less than a second rounds up to one; etcd
// knows no shorter lease.
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
		// The second argument is the time left, but the storage always passes 0 for it, and 0 means for ever.
		TTLFunc: func(obj runtime.Object, _ uint64, _ bool) (uint64, error) {
			return uint64(timeToLive(obj, max(ttl, time.Second), time.Now()).Seconds()), nil
		},
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: options, AttrFunc: getAttrs}); err != nil {
		return nil, fmt.Errorf("could not set up the storage of deliveries: %w", err)
	}
	return &Store{store: store}, nil
}

// timeToLive is how long a record is kept from now on, in whole seconds, of which there is at least one. While it is
// pending that starts anew with each update. After that it runs from its creation, or from when it was applied: no number
// of repeats that are counted in it keeps it.
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
	left := since.Add(time.Second).Sub(now) + ttl // times in records are cut off to whole seconds
	return min(max(left, time.Second), ttl).Truncate(time.Second)
}

// Create stores a new record and returns it as stored. In a dry run it only checks that it could.
func (s *Store) Create(ctx context.Context, delivery *postern.WebhookDelivery, dryRun bool) (*postern.WebhookDelivery, error) {
	ctx = genericapirequest.WithNamespace(ctx, delivery.Namespace)
	created, err := s.store.Create(ctx, delivery, rest.ValidateAllObjectFunc, &metav1.CreateOptions{DryRun: dryRunOption(dryRun)})
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

// UpdateStatus stores the status of a record, which must be as it was read, and returns the record as stored.
func (s *Store) UpdateStatus(ctx context.Context, delivery *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
	ctx = genericapirequest.WithNamespace(ctx, delivery.Namespace)
	updated, _, err := s.store.Update(ctx, delivery.Name, rest.DefaultUpdatedObjectInfo(delivery),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	if err != nil {
		return nil, convertSizeError(err)
	}
	return updated.(*postern.WebhookDelivery), nil
}

// Count returns how many records there are in all namespaces, as far as the watch cache knows.
func (s *Store) Count(ctx context.Context) (int64, error) {
	stats, err := s.store.Storage.Stats(ctx)
	if err != nil {
		return 0, fmt.Errorf("could not count the deliveries: %w", err)
	}
	return stats.ObjectCount, nil
}

// List returns the records of all namespaces from the watch cache, which they share: they must not be changed.
func (s *Store) List(ctx context.Context) ([]postern.WebhookDelivery, error) {
	list, err := s.store.List(genericapirequest.WithNamespace(ctx, metav1.NamespaceAll), &internalversion.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("could not list the deliveries: %w", err)
	}
	return list.(*postern.WebhookDeliveryList).Items, nil
}

// Delete deletes a record, unless it is no longer as it was read; then the error is a conflict.
func (s *Store) Delete(ctx context.Context, delivery *postern.WebhookDelivery) error {
	_, _, err := s.store.Delete(genericapirequest.WithNamespace(ctx, delivery.Namespace), delivery.Name, rest.ValidateAllObjectFunc,
		&metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &delivery.UID, ResourceVersion: &delivery.ResourceVersion}})
	return err
}

// ReadinessCheck returns an error until the watch cache is filled: a list or watch before that fails.
func (s *Store) ReadinessCheck() error { return s.store.ReadinessCheck() }

func dryRunOption(dryRun bool) []string {
	if dryRun {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// tooLargeForEtcd is in etcd's answer to a request that is larger than --max-request-bytes, 1.5 MiB by default.
// Source: ErrRequestTooLarge in go.etcd.io/etcd/api, v3rpc/rpctypes/error.go.
const tooLargeForEtcd = "etcdserver: request is too large"

// convertSizeError makes of etcd's error that a record is too large one that answers 413: it can never be stored. Other errors
// stay as they are.
func convertSizeError(err error) error {
	switch {
	case strings.Contains(err.Error(), tooLargeForEtcd):
	case status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "message larger than max"): // gRPC's own bound
	default:
		return err
	}
	return apierrors.NewRequestEntityTooLargeError("the record of the delivery is larger than the etcd takes: " + err.Error())
}
