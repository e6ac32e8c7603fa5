// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// objectsPageSize bounds the whole deliveries in memory at a time, besides those that are kept. One may have almost a
// megabyte.
const objectsPageSize = 100

// objects returns the newest deliveries of a query up to a limit; 0 is no limit.
func (q query) objects(ctx context.Context, cluster *cli.Cluster, limit int) (*v1alpha1.WebhookDeliveryList, error) {
	found := &v1alpha1.WebhookDeliveryList{}
	for _, p := range q.parts() {
		options := metav1.ListOptions{FieldSelector: p.selector.AsSelector().String(), Limit: objectsPageSize}
		for {
			page, err := cluster.Postern.PosternV1alpha1().WebhookDeliveries(q.namespace).List(ctx, options)
			if err != nil {
				return nil, fmt.Errorf("could not list the deliveries: %w", err)
			}
			for _, d := range page.Items {
				if q.target == nil || !p.objects || hasResult(&d, *q.target) {
					d.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"))
					found.Items = append(found.Items, d)
				}
			}
			found.Items = keepNewestObjects(found.Items, limit)
			if options.Continue = page.Continue; options.Continue == "" {
				break
			}
		}
	}
	return found, nil
}

func hasResult(d *v1alpha1.WebhookDelivery, target v1alpha1.TargetReference) bool {
	return slices.ContainsFunc(d.Status.Targets, func(r v1alpha1.TargetResult) bool {
		return r.Kind == target.Kind && r.Name == target.Name
	})
}

// keepNewestObjects is keepNewest for whole deliveries.
func keepNewestObjects(items []v1alpha1.WebhookDelivery, limit int) []v1alpha1.WebhookDelivery {
	slices.SortStableFunc(items, func(a, b v1alpha1.WebhookDelivery) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	if limit > 0 && len(items) > limit {
		clear(items[limit:])
		items = items[:limit]
	}
	return items
}

// deliveryPrefix is before the name of a delivery in arguments of kubectl.
const deliveryPrefix = "webhookdelivery.postern.dev/"

// namePrinter prints the names of a table as kubectl does.
type namePrinter struct{}

// PrintObj prints a table.
func (namePrinter) PrintObj(obj runtime.Object, w io.Writer) error {
	table, ok := obj.(*metav1.Table)
	if !ok {
		return fmt.Errorf("could not print the names of a %T", obj)
	}
	var names strings.Builder
	for _, r := range table.Rows {
		fmt.Fprintf(&names, "%s%v\n", deliveryPrefix, r.Cells[0])
	}
	_, err := io.WriteString(w, names.String())
	return err
}
