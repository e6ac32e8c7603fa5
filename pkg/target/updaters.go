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
	"postern.dev/postern/pkg/imageupdate"
)

const (
	// listTimeout bounds one list of ImageUpdater objects, which several may wait for.
	listTimeout = 5 * time.Second
	// keepLists is how long a list is kept at least: longer than one try of a delivery.
	keepLists = time.Minute
)

// updaterLists reads the ImageUpdater objects of namespaces live. Those who ask at the
// same time share a list, as long as it began after each of their deliveries did. It is
// safe for concurrent use.
type updaterLists struct {
	list func(ctx context.Context, namespace string) ([]*imageupdate.Updater, error)

	mu sync.Mutex
	// last are the lists that began last, by namespace.
	last map[string]*updaterList
}

// updaterList is one list; its result may be read once it is done.
type updaterList struct {
	began    time.Time
	done     chan struct{}
	updaters []*imageupdate.Updater
	err      error
}

func newUpdaterLists(list func(context.Context, string) ([]*imageupdate.Updater, error)) *updaterLists {
	return &updaterLists{list: list, last: map[string]*updaterList{}}
}

// in returns the ImageUpdater objects of a namespace as they were after a time. They
// must not be modified. The error is that of the API server, or of ctx.
func (u *updaterLists) in(ctx context.Context, namespace string, since time.Time) ([]*imageupdate.Updater, error) {
	if now := time.Now(); since.After(now) {
		since = now
	}
	l := u.after(ctx, namespace, since)
	for {
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !l.began.Before(since) {
			return l.updaters, l.err
		}
		l = u.after(ctx, namespace, since) // many that waited for this one share the next
	}
}

// after returns the list that began last, if it did after a time or is under way, or else begins one.
func (u *updaterLists) after(ctx context.Context, namespace string, since time.Time) *updaterList {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l, ok := u.last[namespace]; ok && (l.underWay() || l.err == nil && !l.began.Before(since)) {
		return l
	}
	u.forget()
	l := &updaterList{began: time.Now(), done: make(chan struct{})}
	u.last[namespace] = l
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	go func() {
		defer cancel()
		defer close(l.done)
		defer func() {
			if problem := recover(); problem != nil {
				l.err = panicked(ctx, Key{Kind: kindImageUpdater, Namespace: namespace}, problem)
			}
		}()
		l.updaters, l.err = u.list(ctx, namespace)
	}()
	return l
}

func (l *updaterList) underWay() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// forget drops the lists that no delivery uses any more.
func (u *updaterLists) forget() {
	maps.DeleteFunc(u.last, func(_ string, l *updaterList) bool {
		return !l.underWay() && time.Since(l.began) > keepLists
	})
}

// listUpdaters lists the ImageUpdater objects of a namespace, none if the kind is not
// installed. Those that are among known ones, as they are now, are not read anew.
func (e endpoint) listUpdaters(
	ctx context.Context, namespace string, known []*imageupdate.Updater,
) ([]*imageupdate.Updater, error) {
	var list iuv1alpha1.ImageUpdaterList
	err := e.client.Get().Namespace(namespace).Resource(e.resource).MaxRetries(0).Do(ctx).Into(&list)
	switch {
	case isKindMissing(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("could not list %s objects: %w", e.kind, err)
	}
	byVersion := map[string]*imageupdate.Updater{}
	for _, u := range known {
		byVersion[u.Object().Name+"/"+u.Object().ResourceVersion] = u
	}
	updaters := make([]*imageupdate.Updater, len(list.Items))
	for i := range list.Items {
		object := &list.Items[i]
		if u, ok := byVersion[object.Name+"/"+object.ResourceVersion]; ok {
			updaters[i] = u
			continue
		}
		if _, err := trim(object); err != nil {
			return nil, err
		}
		updaters[i] = imageupdate.NewUpdater(object.DeepCopy()) // and not keep the others by it
	}
	return updaters, nil
}
