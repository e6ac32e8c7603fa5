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

// ListWatch lists and watches deliveries of all namespaces within the process. It implements ListerWatcherWithContext
// of k8s.io/client-go/tools/cache. The objects are shared and must not be modified.
type ListWatch struct {
	store    *Store
	selector fields.Selector
}

// Pending returns a ListWatch of the pending deliveries.
func (s *Store) Pending() ListWatch {
	return ListWatch{s, fields.OneTermEqualSelector(v1alpha1.FieldPhase, string(postern.DeliveryPending))}
}

// Held returns a ListWatch of the held deliveries.
func (s *Store) Held() ListWatch {
	return ListWatch{s, fields.OneTermEqualSelector(v1alpha1.FieldPhase, string(postern.DeliveryHeld))}
}

// All returns a ListWatch of all deliveries.
func (s *Store) All() ListWatch { return ListWatch{s, fields.Everything()} }

// IsWatchListSemanticsUnSupported makes client-go list and then watch.
func (ListWatch) IsWatchListSemanticsUnSupported() bool { return true }

// List is ListWithContext without a context.
func (p ListWatch) List(options metav1.ListOptions) (runtime.Object, error) {
	return p.ListWithContext(context.Background(), options)
}

// ListWithContext lists the selected deliveries.
func (p ListWatch) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return p.store.store.List(ctx, p.listOptions(options))
}

// Watch is WatchWithContext without a context.
func (p ListWatch) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return p.WatchWithContext(context.Background(), options)
}

// WatchWithContext watches the selected deliveries.
func (p ListWatch) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	watcher, err := p.store.store.Watch(ctx, p.listOptions(options))
	if err != nil {
		return nil, err
	}
	return unwrap(watcher), nil
}

// listOptions converts the options that a reflector uses.
func (p ListWatch) listOptions(options metav1.ListOptions) *internalversion.ListOptions {
	return &internalversion.ListOptions{
		FieldSelector:        p.selector,
		ResourceVersion:      options.ResourceVersion,
		ResourceVersionMatch: options.ResourceVersionMatch,
		TimeoutSeconds:       options.TimeoutSeconds,
		Limit:                options.Limit,
		Continue:             options.Continue,
		AllowWatchBookmarks:  options.AllowWatchBookmarks,
	}
}
