// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/imageupdate"
)

// imageUpdaterResource is Argo CD Image Updater's ImageUpdater. It is only read: its objects configure the images of
// Applications.
var imageUpdaterResource = resource{
	kind:                 "ImageUpdater",
	GroupVersionResource: iuv1alpha1.SchemeGroupVersion.WithResource("imageupdaters"),
	addToScheme:          iuv1alpha1.AddToScheme,
	newObject:            func() object { return &iuv1alpha1.ImageUpdater{} },
	imageHandler:         (*imageIndex).updaterHandler,
}

const (
	// listTimeout bounds one list of ImageUpdater objects, which several callers may wait for.
	listTimeout = 5 * time.Second
	// listTTL is how long a list is kept at least. It is longer than one try of a delivery.
	listTTL = time.Minute
)

// updaterLister reads the ImageUpdater objects of namespaces live. Concurrent callers share a list if it began after
// all of their deliveries. It is safe for concurrent use.
type updaterLister struct {
	list func(ctx context.Context, namespace string) ([]*imageupdate.Updater, error)

	mu sync.Mutex
	// latest has the list that began last, by namespace.
	latest map[string]*listCall
}

// listCall is one list. Its result may be read once done is closed.
type listCall struct {
	started  time.Time
	done     chan struct{}
	updaters []*imageupdate.Updater
	err      error
}

func newUpdaterLister(list func(context.Context, string) ([]*imageupdate.Updater, error)) *updaterLister {
	return &updaterLister{list: list, latest: map[string]*listCall{}}
}

// get returns the ImageUpdater objects of a namespace as of a time or later. They must not be modified. The error is
// from the API server or from ctx.
func (u *updaterLister) get(ctx context.Context, namespace string, since time.Time) ([]*imageupdate.Updater, error) {
	if now := time.Now(); since.After(now) {
		since = now
	}
	l := u.joinOrStart(ctx, namespace, since)
	for {
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !l.started.Before(since) {
			return l.updaters, l.err
		}
		l = u.joinOrStart(ctx, namespace, since) // callers that waited for this one share the next
	}
}

// joinOrStart returns the last list if it is in progress, or began at or after a time without failing. Otherwise it
// starts one.
func (u *updaterLister) joinOrStart(ctx context.Context, namespace string, since time.Time) *listCall {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l, ok := u.latest[namespace]; ok && (l.inProgress() || l.err == nil && !l.started.Before(since)) {
		return l
	}
	maps.DeleteFunc(u.latest, func(_ string, l *listCall) bool { // no delivery uses it any more
		return !l.inProgress() && time.Since(l.started) > listTTL
	})
	l := &listCall{started: time.Now(), done: make(chan struct{})}
	u.latest[namespace] = l
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	go func() {
		defer cancel()
		defer close(l.done)
		defer func() {
			if problem := recover(); problem != nil {
				l.err = panicError(ctx, postern.TargetKey{Kind: imageUpdaterResource.kind, Namespace: namespace},
					problem)
			}
		}()
		l.updaters, l.err = u.list(ctx, namespace)
	}()
	return l
}

func (l *listCall) inProgress() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// listUpdaters lists the ImageUpdater objects of a namespace, none if the kind is not installed. Objects that are in
// known at the same version are not parsed again.
func (c client) listUpdaters(
	ctx context.Context, namespace string, known []*imageupdate.Updater,
) ([]*imageupdate.Updater, error) {
	var list iuv1alpha1.ImageUpdaterList
	err := c.rest.Get().Namespace(namespace).Resource(c.Resource).MaxRetries(0).Do(ctx).Into(&list)
	switch {
	case isKindMissing(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("could not list %s objects: %w", c.kind, err)
	}
	byVersion := map[string]*imageupdate.Updater{}
	for _, u := range known {
		byVersion[u.Object().Name+"/"+u.Object().ResourceVersion] = u
	}
	updaters := make([]*imageupdate.Updater, len(list.Items))
	for i := range list.Items {
		obj := &list.Items[i]
		if u, ok := byVersion[obj.Name+"/"+obj.ResourceVersion]; ok {
			updaters[i] = u
			continue
		}
		c.trim(obj)
		updaters[i] = imageupdate.NewUpdater(obj.DeepCopy()) // so that it does not retain the whole list
	}
	return updaters, nil
}
