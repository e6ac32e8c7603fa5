// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// acceptTable asks for tables, whose rows are a third of the size of objects.
const acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io"

const resource = "webhookdeliveries"

const (
	// pageSize bounds the rows in memory at a time, besides those that are kept.
	pageSize = 500
	// watchSeconds is when the server ends a watch, so that one whose connection hangs ends, too.
	watchSeconds = 300
)

// query selects deliveries.
type query struct {
	// namespace is empty for all.
	namespace string
	selector  fields.Set
	// target selects those that name a target, or that found it; nil for all.
	target *v1alpha1.TargetReference
}

// part is a request of a list or a watch. Whether a delivery has found a target is in the whole object only.
type part struct {
	selector fields.Set
	objects  bool
}

// parts returns the requests that together list the query.
func (q query) parts() []part {
	if q.target == nil {
		return []part{{q.selector, false}}
	}
	named := fields.Set{v1alpha1.FieldTargetKind: string(q.target.Kind), v1alpha1.FieldTargetName: q.target.Name}
	found := fields.Set{v1alpha1.FieldTargetName: ""}
	maps.Copy(named, q.selector)
	maps.Copy(found, q.selector)
	return []part{{named, false}, {found, true}}
}

// keep returns which rows of a request belong to the query.
func (q query) keep(p part) func(*rowObject) bool {
	return func(o *rowObject) bool { return !p.objects || o.concerns(*q.target) }
}

// newTableClient returns a client that gets tables of deliveries.
func newTableClient(cluster *cli.Cluster) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		return nil, err
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	config := rest.CopyConfig(cluster.Config)
	config.GroupVersion, config.APIPath = &v1alpha1.SchemeGroupVersion, "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.AcceptContentTypes, config.ContentType = acceptTable, runtime.ContentTypeJSON
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("could not create a client of tables: %w", err)
	}
	return client, nil
}

// request returns the request of a part, without its resource version.
func (q query) request(client rest.Interface, p part) *rest.Request {
	include := metav1.IncludeMetadata
	if p.objects {
		include = metav1.IncludeObject
	}
	return client.Get().NamespaceIfScoped(q.namespace, q.namespace != "").Resource(resource).
		Param("fieldSelector", p.selector.AsSelector().String()).Param("includeObject", string(include))
}

// listing is the newest rows of a query.
type listing struct {
	rows []row
	// total is how many there are.
	total int
	// version is the resource version from which to watch.
	version string
}

// list lists the newest deliveries up to a limit; 0 is no limit. The server returns them by name, in pages, so it reads
// all pages and keeps the newest rows.
func (q query) list(ctx context.Context, client rest.Interface, limit int) (listing, error) {
	var l listing
	for _, p := range q.parts() {
		for next, first := "", true; first || next != ""; first = false {
			table := &metav1.Table{}
			request := q.request(client, p).Param("limit", strconv.Itoa(pageSize)).Param("continue", next)
			if err := request.Do(ctx).Into(table); err != nil {
				return l, fmt.Errorf("could not list the deliveries: %w", err)
			}
			rows, err := rowsOf(table, table.ColumnDefinitions, q.keep(p))
			if err != nil {
				return l, err
			}
			if l.version == "" { // what changes while the other parts are listed is watched again
				l.version = table.ResourceVersion
			}
			l.total += len(rows)
			if l.rows = append(l.rows, rows...); limit > 0 && len(l.rows) > 2*limit {
				l.rows = keepNewest(l.rows, limit)
			}
			next = table.Continue
		}
	}
	l.rows = keepNewest(l.rows, limit)
	return l, nil
}

// change is a delivery that was recorded, changed or removed.
type change struct {
	row
	removed bool
}

// watch calls handle with each change after a resource version, until the server ends the watch, and returns the
// version to go on from. Its error satisfies apierrors.IsResourceExpired or IsGone if the version is too old.
func (q query) watch(
	ctx context.Context, client rest.Interface, from string, handle func(change),
) (version string, err error) {
	p := part{q.selector, q.target != nil}
	watcher, err := q.request(client, p).Param("watch", "true").Param("allowWatchBookmarks", "true").
		Param("resourceVersion", from).Param("timeoutSeconds", strconv.Itoa(watchSeconds)).Watch(ctx)
	if err != nil {
		return from, err
	}
	defer watcher.Stop()
	var definitions []metav1.TableColumnDefinition
	for event := range watcher.ResultChan() {
		if event.Type == watch.Error {
			return from, apierrors.FromObject(event.Object)
		}
		table, ok := event.Object.(*metav1.Table)
		if !ok {
			return from, fmt.Errorf("the watch of deliveries sent a %T", event.Object)
		}
		if len(table.ColumnDefinitions) > 0 {
			definitions = table.ColumnDefinitions
		}
		if table.ResourceVersion != "" {
			from = table.ResourceVersion
		}
		if event.Type == watch.Bookmark {
			continue
		}
		rows, err := rowsOf(table, definitions, q.keep(p))
		if err != nil {
			return from, err
		}
		for _, r := range rows {
			handle(change{r, event.Type == watch.Deleted})
		}
	}
	return from, nil
}
