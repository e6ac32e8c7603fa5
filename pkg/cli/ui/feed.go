// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern/v1alpha1"
	clientset "postern.dev/postern/pkg/generated/clientset/versioned/typed/postern/v1alpha1"
)

const (
	// maxRecords is how many records of a feed are kept. It is Postern's default for all namespaces.
	maxRecords = 10_000
	// listPage is how many deliveries are read at a time. Each page costs the server as much as all that remain.
	listPage = 2500
	// listTimeout bounds the request for a page.
	listTimeout = 30 * time.Second
)

// feed has the newest deliveries of a namespace, or of all, and follows them until the context of run ends. Deliveries
// are trimmed as they arrive, and at most limit are kept.
type feed struct {
	deliveries clientset.WebhookDeliveryInterface
	limit      int

	mu     sync.Mutex
	window *window
	// listed is a window that a list has filled, and that Replace puts in place.
	listed *window
	// complete is true once all deliveries have been read.
	complete bool
	// listProblem and watchProblem are the errors of the last attempts.
	listProblem, watchProblem error
	// changed is closed and replaced when anything changes.
	changed chan struct{}
}

// snapshot is what a feed has at a time.
type snapshot struct {
	// Records are the newest, the newest first.
	Records []*record
	// Older is the number of deliveries that exist beyond.
	Older int
	// Complete is whether all deliveries have been read.
	Complete bool
	// ListProblem and WatchProblem say why deliveries can't be listed or followed.
	ListProblem, WatchProblem error
}

func newFeed(deliveries clientset.WebhookDeliveryInterface, limit int) *feed {
	return &feed{
		deliveries: deliveries, limit: limit, window: newWindow(limit), changed: make(chan struct{}),
	}
}

// run lists the deliveries and follows them until ctx is done. client-go's reflector resumes a watch, and lists again
// if it is too old.
func (f *feed) run(ctx context.Context) {
	// The page shows the errors; the log of client-go would disturb the terminal.
	ctx = klog.NewContext(ctx, logr.Discard())
	logger := logr.Discard()
	reflector := cache.NewReflectorWithOptions(listWatch{f}, &record{}, (*store)(f),
		cache.ReflectorOptions{Name: "deliveries", Logger: &logger})
	reflector.RunWithContext(ctx)
}

// snapshot returns the present state. The records are shared.
func (f *feed) snapshot() snapshot {
	f.mu.Lock()
	records := slices.Clone(f.window.records)
	s := snapshot{
		Older: f.window.older, Complete: f.complete, ListProblem: f.listProblem, WatchProblem: f.watchProblem,
	}
	f.mu.Unlock()
	slices.Reverse(records)
	s.Records = records
	return s
}

// changes returns a channel that is closed at the next change.
func (f *feed) changes() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// resourceVersion returns that of a delivery, empty if it is not kept.
func (f *feed) resourceVersion(uid types.UID) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.window.byUID[uid]; r != nil {
		return r.ResourceVersion
	}
	return ""
}

// wait returns when all deliveries have been read, when they can't be, or when ctx is done.
func (f *feed) wait(ctx context.Context) {
	for {
		f.mu.Lock()
		done, changed := f.complete || f.listProblem != nil, f.changed
		f.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// change calls do under the lock and wakes up those who wait for a change.
func (f *feed) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// listWatch reads deliveries for the reflector.
type listWatch struct{ feed *feed }

// records is an empty list with a resource version: listWatch has put the items into a window.
type records struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []record
}

// DeepCopyObject returns l, since nothing changes it.
func (l *records) DeepCopyObject() runtime.Object { return l }

// IsWatchListSemanticsUnSupported makes the reflector list and then watch, so that no more than a page is held.
func (listWatch) IsWatchListSemanticsUnSupported() bool { return true }

// List is ListWithContext without a context.
func (l listWatch) List(options metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), options)
}

// Watch is WatchWithContext without a context.
func (l listWatch) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), options)
}

// ListWithContext reads all deliveries by pages. The first time they can be seen as they arrive.
func (l listWatch) ListWithContext(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	f := l.feed
	fresh := newWindow(f.limit)
	f.change(func() {
		if !f.complete {
			f.window = fresh
		}
	})
	version, err := f.readPages(ctx, fresh)
	f.change(func() { f.listProblem, f.listed = err, fresh })
	if err != nil {
		return nil, err
	}
	return &records{ListMeta: metav1.ListMeta{ResourceVersion: version}}, nil
}

func (f *feed) readPages(ctx context.Context, into *window) (resourceVersion string, err error) {
	options := metav1.ListOptions{Limit: listPage}
	for {
		page, err := f.readPage(ctx, options)
		if err != nil {
			return "", err
		}
		f.change(func() {
			for i := range page.Items {
				into.add(trim(&page.Items[i]))
			}
		})
		if page.Continue == "" {
			return page.ResourceVersion, nil
		}
		options.Continue = page.Continue
	}
}

func (f *feed) readPage(ctx context.Context, options metav1.ListOptions) (*v1alpha1.WebhookDeliveryList, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return f.deliveries.List(ctx, options)
}

// WatchWithContext follows the deliveries.
func (l listWatch) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	watcher, err := l.feed.deliveries.Watch(ctx, options)
	l.feed.change(func() { l.feed.watchProblem = err })
	if err != nil {
		return nil, err
	}
	return watch.Filter(watcher, func(event watch.Event) (watch.Event, bool) {
		if delivery, ok := event.Object.(*v1alpha1.WebhookDelivery); ok {
			event.Object = trim(delivery)
		}
		return event, true
	}), nil
}

// store is how the reflector changes a feed.
type store feed

func (s *store) change(do func(*window)) error {
	f := (*feed)(s)
	f.change(func() { do(f.window) })
	return nil
}

// Add adds a new record.
func (s *store) Add(obj any) error { return s.change(func(w *window) { w.add(obj.(*record)) }) }

// Update replaces a record.
func (s *store) Update(obj any) error { return s.change(func(w *window) { w.update(obj.(*record)) }) }

// Delete removes a record.
func (s *store) Delete(obj any) error {
	return s.change(func(w *window) { w.remove(obj.(*record).UID) })
}

// Replace puts what was listed in place.
func (s *store) Replace([]any, string) error {
	f := (*feed)(s)
	f.change(func() { f.window, f.listed, f.complete = f.listed, nil, true })
	return nil
}

// Resync does nothing.
func (*store) Resync() error { return nil }
