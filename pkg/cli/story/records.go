// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

const (
	// pageSize bounds the records that are in memory at a time. A record may have almost a megabyte.
	pageSize = 200
	// maxScanned bounds the records that are read to find one.
	maxScanned = 20_000
)

// Latest returns the delivery to a target that was received last, whether it named the target or found it; nil if there
// is none.
func Latest(
	ctx context.Context, cluster *cli.Cluster, namespace string, target v1alpha1.TargetReference,
) (latest *v1alpha1.WebhookDelivery, err error) {
	err = eachOfTarget(ctx, cluster, namespace, target, func(d *v1alpha1.WebhookDelivery) {
		if latest == nil || cli.ReceivedAt(d).After(cli.ReceivedAt(latest)) {
			latest = d.DeepCopy() // the page need not stay in memory
		}
	})
	return latest, err
}

// eachOfTarget calls f with the records that name a target or have a result for it.
func eachOfTarget(
	ctx context.Context, cluster *cli.Cluster, namespace string, target v1alpha1.TargetReference,
	f func(*v1alpha1.WebhookDelivery),
) error {
	named := fields.Set{v1alpha1.FieldTargetKind: string(target.Kind), v1alpha1.FieldTargetName: target.Name}
	if err := Each(ctx, cluster, namespace, named, f); err != nil {
		return err
	}
	found := fields.Set{v1alpha1.FieldTargetName: ""}
	return Each(ctx, cluster, namespace, found, func(d *v1alpha1.WebhookDelivery) {
		for i := range d.Status.Targets {
			if r := &d.Status.Targets[i]; r.Kind == target.Kind && r.Name == target.Name {
				f(d)
				return
			}
		}
	})
}

// Each calls f with the selected records of a namespace, page by page, in no order of time. f must not keep them.
func Each(
	ctx context.Context, cluster *cli.Cluster, namespace string, selected fields.Set, f func(*v1alpha1.WebhookDelivery),
) error {
	options := metav1.ListOptions{FieldSelector: selected.AsSelector().String(), Limit: pageSize}
	for scanned := 0; scanned < maxScanned; scanned += pageSize {
		page, err := cluster.Postern.PosternV1alpha1().WebhookDeliveries(namespace).List(ctx, options)
		if err != nil {
			return fmt.Errorf("could not list the deliveries of namespace %s: %w", namespace, err)
		}
		for i := range page.Items {
			f(&page.Items[i])
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return nil
		}
	}
	return fmt.Errorf("namespace %s has more than %d deliveries, of which not all were read", namespace, maxScanned)
}
