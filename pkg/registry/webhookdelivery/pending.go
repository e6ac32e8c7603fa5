// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
)

// PendingListWatch lists and watches the pending deliveries of all namespaces, from within the process. It is a
// ListerWatcherWithContext of client-go's tools/cache.
type PendingListWatch struct{ store *Store }

// Pending returns what follows the pending deliveries.
func (s *Store) Pending() PendingListWatch { return PendingListWatch{s} }

// IsWatchListSemanticsUnSupported tells client-go to list and then watch.
func (PendingListWatch) IsWatchListSemanticsUnSupported() bool { return true }

// List lists; it is ListWithContext without a context.
func (p PendingListWatch) List(options metav1.ListOptions) (runtime.Object, error) {
	return p.ListWithContext(context.Background(), options)
}

// ListWithContext lists what is pending.
func (p PendingListWatch) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return p.store.store.List(ctx, pendingOnly(options))
}

// Watch watches; it is WatchWithContext without a context.
func (p PendingListWatch) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return p.WatchWithContext(context.Background(), options)
}

// WatchWithContext reports what begins and ceases to be pending.
func (p PendingListWatch) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	watcher, err := p.store.store.Watch(ctx, pendingOnly(options))
	if err != nil {
		return nil, err
	}
	return unwrap(watcher), nil
}

// pendingOnly keeps of some options what a reflector needs.
func pendingOnly(options metav1.ListOptions) *internalversion.ListOptions {
	return &internalversion.ListOptions{
		FieldSelector:        fields.OneTermEqualSelector(v1alpha1.FieldPhase, string(postern.DeliveryPending)),
		ResourceVersion:      options.ResourceVersion,
		ResourceVersionMatch: options.ResourceVersionMatch,
		TimeoutSeconds:       options.TimeoutSeconds,
		Limit:                options.Limit,
		Continue:             options.Continue,
		AllowWatchBookmarks:  options.AllowWatchBookmarks,
	}
}
