// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// Cache watches the targets of all namespaces, and the ImageUpdater objects that configure their images. It keeps only
// the fields that Postern reads. A kind whose CRD does not exist is looked up again at least about every 30 seconds. It
// is safe for concurrent use.
type Cache struct {
	kinds  map[postern.TargetKind]*cachedKind
	images *imageIndex
	// clock observes the receipts in the objects that are received.
	clock *Clock
}

// cachedKind caches one kind.
type cachedKind struct {
	kind      postern.TargetKind
	listWatch *trackedListWatch
	informer  cache.SharedIndexInformer
	// mutations adds our own writes to the informer's store, so that consecutive writes to a busy target do not start
	// from old values.
	mutations cache.MutationCache
	// indexed reports whether the image index has processed the initial list.
	indexed cache.InformerSynced
	// failure is the error of the last list or watch that failed.
	failure atomic.Pointer[error]
}

// NewCache returns a cache of the API server in cfg. It is empty until it is started.
func NewCache(cfg *rest.Config) (*Cache, error) {
	endpoints, err := newEndpoints(cfg, cachedKinds())
	if err != nil {
		return nil, err
	}
	c := &Cache{kinds: map[postern.TargetKind]*cachedKind{}, images: &imageIndex{}, clock: NewClock(time.Now)}
	for kind, endpoint := range endpoints {
		if c.kinds[kind], err = newCachedKind(endpoint, c.images, c.clock); err != nil {
			return nil, fmt.Errorf("could not make a cache of %s: %w", kind, err)
		}
	}
	return c, nil
}

func newCachedKind(e endpoint, images *imageIndex, clock *Clock) (*cachedKind, error) {
	_, example, err := apiOf(e.kind)
	if err != nil {
		return nil, err
	}
	source := newTrackedListWatch(e.listWatch(), time.Now)
	informer := cache.NewSharedIndexInformerWithOptions(source, example,
		cache.SharedIndexInformerOptions{Indexers: cache.Indexers{
			repositoryIndex:      indexByRepository,
			cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
		}})
	k := &cachedKind{
		kind:      e.kind,
		listWatch: source,
		informer:  informer,
		indexed:   func() bool { return true },
		mutations: cache.NewIntegerResourceVersionMutationCacheWithOptions(
			klog.Background(), informer.GetStore(), cache.MutationCacheOptions{}),
	}
	if handler := images.handlerFor(e.kind); handler != nil {
		registration, err := informer.AddEventHandler(handler)
		if err != nil {
			return nil, err
		}
		k.indexed = registration.HasSynced
	}
	return k, errors.Join(
		informer.SetTransform(func(obj any) (any, error) {
			clock.observeObject(obj)
			return trim(obj)
		}),
		informer.SetWatchErrorHandlerWithContext(k.watchFailed),
	)
}

// Start fills the cache and keeps it current until ctx ends. It may be called once.
func (c *Cache) Start(ctx context.Context) error {
	var running wait.Group
	for _, k := range c.kinds {
		running.StartWithContext(ctx, k.informer.RunWithContext)
	}
	running.Wait()
	return nil
}

// NeedLeaderElection makes a controller manager run the cache in every replica.
func (c *Cache) NeedLeaderElection() bool { return false }

// Ready returns nil once every kind is in the cache or known not to be installed.
func (c *Cache) Ready() error {
	return c.ready(cachedKinds()...)
}

func (c *Cache) ready(kinds ...postern.TargetKind) error {
	var unready []error
	for _, kind := range kinds {
		if err := c.kinds[kind].ready(); err != nil {
			unready = append(unready, err)
		}
	}
	return errors.Join(unready...)
}

func (k *cachedKind) ready() error {
	if k.informer.HasSynced() && k.indexed() {
		return nil
	}
	switch failure := k.failure.Load(); {
	case failure == nil:
		return fmt.Errorf("%s is not in the cache yet", k.kind)
	case isKindMissing(*failure):
		return nil
	default:
		return fmt.Errorf("could not fill the cache of %s: %w", k.kind, *failure)
	}
}

// watchFailed records a failed list or watch. The informer retries it.
func (k *cachedKind) watchFailed(ctx context.Context, reflector *cache.Reflector, err error) {
	k.failure.Store(&err)
	if isKindMissing(err) {
		klog.FromContext(ctx).V(2).Info("Kind is not installed in this cluster", "kind", k.kind)
		return
	}
	cache.DefaultWatchErrorHandler(ctx, reflector, err)
}

// get returns an object, which must not be modified. It finds nothing until the kind is synced. It is safe to call on a
// nil Cache.
func (c *Cache) get(key postern.TargetKey) (runtime.Object, bool) {
	if c == nil {
		return nil, false
	}
	k, ok := c.kinds[key.Kind]
	if !ok || !k.informer.HasSynced() {
		return nil, false
	}
	stored, ok, err := k.mutations.GetByKey(cache.NewObjectName(key.Namespace, key.Name).String())
	if !ok || err != nil {
		return nil, false
	}
	obj, ok := stored.(runtime.Object)
	return obj, ok
}

// recordWrite stores the object that a write returned.
func (c *Cache) recordWrite(kind postern.TargetKind, obj runtime.Object) {
	if c == nil {
		return
	}
	if trimmed, err := trim(obj); err == nil {
		c.kinds[kind].mutations.Mutation(trimmed)
	}
}

// updatersIn returns the ImageUpdater objects of a namespace that the watch has delivered. They must not be modified.
func (c *Cache) updatersIn(namespace string) []*imageupdate.Updater {
	if c == nil {
		return nil
	}
	return c.images.updatersIn(namespace)
}

// Has reports whether an object is in the cache. It is false for a nil Cache.
func (c *Cache) Has(key postern.TargetKey) bool {
	if c == nil {
		return false
	}
	_, found, err := c.kinds[key.Kind].informer.GetIndexer().GetByKey(key.Namespace + "/" + key.Name)
	return found && err == nil
}

// Namespaces returns the namespaces that contain a target, sorted. The error satisfies IsTransient if the cache is not
// synced. A nil Cache returns an error.
func (c *Cache) Namespaces() ([]string, error) {
	if c == nil {
		return nil, errNoCache
	}
	if err := c.ready(Kinds()...); err != nil {
		return nil, &transientError{err}
	}
	var namespaces []string
	for _, kind := range Kinds() {
		indexer := c.kinds[kind].informer.GetIndexer()
		namespaces = append(namespaces, indexer.ListIndexFuncValues(cache.NamespaceIndex)...)
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces), nil
}
