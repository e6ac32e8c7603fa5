// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// settleDelay is how long it may take after an outage until the missed changes are in the cache. Without an outage a
// watch continues where the last one ended.
const settleDelay = 2 * time.Second

var (
	// errNoCache is the error of a nil Cache.
	errNoCache = errors.New("targets can be matched only with a cache")
	// errReconnecting is the error of a cache between the end of a watch and the start of the next.
	errReconnecting = errors.New("the watch has ended, and the next is not open yet")
)

// Cache watches the targets of all namespaces, and the ImageUpdater objects that configure their images. It keeps only
// the fields that Postern reads. A kind whose CRD does not exist is looked up again at least about every 30 seconds. It
// is safe for concurrent use.
type Cache struct {
	kinds  map[postern.TargetKind]*cachedKind
	images *imageIndex
	// holds observes the targets that are received.
	holds *holdList
	// clock observes the receipts in the objects that are received.
	clock *Clock
}

// cachedKind caches one kind.
type cachedKind struct {
	*resource
	listWatch *trackedListWatch
	informer  cache.SharedIndexInformer
	// mutations adds our own writes, and some reads, to the informer's store, so that consecutive writes to a busy
	// target do not start from old values.
	mutations cache.MutationCache
	// indexed reports whether the image index has processed the initial list.
	indexed cache.InformerSynced
	// failure is the error of the last list or watch that failed.
	failure atomic.Pointer[error]
}

// NewCache returns a cache of the API server in cfg. It is empty until it is started.
func NewCache(cfg *rest.Config) (*Cache, error) {
	clients, err := newClients(cfg, resources())
	if err != nil {
		return nil, err
	}
	c := &Cache{
		kinds: map[postern.TargetKind]*cachedKind{}, images: &imageIndex{}, holds: newHoldList(),
		clock: NewClock(time.Now),
	}
	for kind, client := range clients {
		if c.kinds[kind], err = c.newCachedKind(client); err != nil {
			return nil, fmt.Errorf("could not make a cache of %s: %w", kind, err)
		}
	}
	return c, nil
}

func (c *Cache) newCachedKind(client client) (*cachedKind, error) {
	indexers := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	if target, ok := lookupKind(client.kind); ok {
		indexers[repositoryIndex] = indexByRepository(target)
	}
	source := newTrackedListWatch(client.listWatch())
	informer := cache.NewSharedIndexInformerWithOptions(source, client.newObject(),
		cache.SharedIndexInformerOptions{Indexers: indexers})
	k := &cachedKind{
		resource:  client.resource,
		listWatch: source,
		informer:  informer,
		indexed:   func() bool { return true },
		mutations: cache.NewIntegerResourceVersionMutationCacheWithOptions(
			klog.Background(), informer.GetStore(), cache.MutationCacheOptions{}),
	}
	if client.imageHandler != nil {
		registration, err := informer.AddEventHandler(client.imageHandler(c.images))
		if err != nil {
			return nil, err
		}
		k.indexed = registration.HasSynced
	}
	return k, errors.Join(
		informer.SetTransform(func(item any) (any, error) {
			if obj, ok := item.(object); ok {
				c.clock.observeObject(obj)
				c.holds.observe(client.kind, obj)
				client.trim(obj)
			}
			return item, nil
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
	return c.ready(append(kindNames(), imageUpdaterResource.kind)...)
}

func (c *Cache) ready(kinds ...postern.TargetKind) error {
	var unready []error
	for _, kind := range kinds {
		unready = append(unready, c.kinds[kind].ready())
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

// current returns an error unless the kinds are synced, or not installed, and their changes are received. Otherwise a
// new object might be missing.
func (c *Cache) current(kinds ...postern.TargetKind) error {
	if err := c.ready(kinds...); err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := c.kinds[kind].listWatch.current(); err != nil {
			return fmt.Errorf("the cache of %s is behind: %w", kind, err)
		}
	}
	return nil
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
func (c *Cache) get(key postern.TargetKey) (object, bool) {
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
	obj, ok := stored.(object)
	return obj, ok
}

// update stores an object as a write or a read has returned it, which the watch may deliver later.
func (c *Cache) update(kind postern.TargetKind, obj object) {
	if c != nil {
		c.kinds[kind].trim(obj)
		c.kinds[kind].mutations.Mutation(obj)
	}
}

// updatersIn returns the ImageUpdater objects of a namespace that the watch has delivered. They must not be modified.
func (c *Cache) updatersIn(namespace string) []*imageupdate.Updater {
	if c == nil {
		return nil
	}
	return c.images.updatersIn(namespace)
}

// Has reports whether the watch has delivered an object. It is false for a nil Cache.
func (c *Cache) Has(key postern.TargetKey) bool {
	if c == nil {
		return false
	}
	name := cache.NewObjectName(key.Namespace, key.Name).String()
	_, found, err := c.kinds[key.Kind].informer.GetIndexer().GetByKey(name)
	return found && err == nil
}

// Namespaces returns the namespaces that contain a target, sorted. The error satisfies IsTransient if the cache is not
// synced. A nil Cache returns an error.
func (c *Cache) Namespaces() ([]string, error) {
	if c == nil {
		return nil, errNoCache
	}
	if err := c.ready(kindNames()...); err != nil {
		return nil, &transientError{err}
	}
	var namespaces []string
	for _, kind := range kindNames() {
		indexer := c.kinds[kind].informer.GetIndexer()
		namespaces = append(namespaces, indexer.ListIndexFuncValues(cache.NamespaceIndex)...)
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces), nil
}

// trackedListWatch wraps a ListerWatcher, and knows whether changes are received. It is safe for concurrent use.
type trackedListWatch struct {
	*cache.ListWatch

	mu sync.Mutex
	// staleErr is why changes are missed; nil while a watch is open.
	staleErr error
	// started is set after the first list or watch, outage from a later failure until the next success.
	started, outage bool
	// settledAt is when the missed changes are in the cache.
	settledAt time.Time
}

func newTrackedListWatch(source cache.ListerWatcher) *trackedListWatch {
	from, t := cache.ToListerWatcherWithContext(source), &trackedListWatch{}
	t.ListWatch = &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := from.ListWithContext(ctx, options)
			t.record(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			watcher, err := from.WatchWithContext(ctx, options)
			t.record(err)
			if err != nil {
				return nil, err
			}
			return &trackedWatch{Interface: watcher, listWatch: t}, nil
		},
	}
	return t
}

// current returns an error while changes are missed. A kind that is not installed is no error.
func (t *trackedListWatch) current() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.staleErr != nil && isKindMissing(t.staleErr):
		return nil
	case t.staleErr != nil:
		return t.staleErr
	case time.Now().Before(t.settledAt):
		return errReconnecting
	}
	return nil
}

// record records the error of a list or of opening a watch, or nil if it succeeded.
func (t *trackedListWatch) record(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.staleErr = err
	if err != nil {
		t.outage = t.started
		return
	}
	if t.outage {
		t.settledAt = time.Now().Add(settleDelay)
	}
	t.started, t.outage = true, false
}

// trackedWatch is an open watch. A reflector stops each watch, also one that has ended by itself, before it opens the
// next.
type trackedWatch struct {
	watch.Interface
	listWatch *trackedListWatch
	once      sync.Once
}

// Stop implements watch.Interface.
func (w *trackedWatch) Stop() {
	w.once.Do(func() {
		w.listWatch.mu.Lock()
		defer w.listWatch.mu.Unlock()
		w.listWatch.staleErr = errReconnecting
	})
	w.Interface.Stop()
}
