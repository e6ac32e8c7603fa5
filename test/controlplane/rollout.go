// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"

	appsv1apply "k8s.io/client-go/applyconfigurations/apps/v1"
)

// reportReady reports ready Pods, as the StatefulSet controller does, for "kubectl rollout status".
func (w *workload) reportReady(ctx context.Context, ready int) error {
	count, revision := int32(ready), fmt.Sprintf("%s-%d", w.set.Name, w.set.Generation)
	status := appsv1apply.StatefulSetStatus().
		WithObservedGeneration(w.set.Generation).
		WithReplicas(count).WithReadyReplicas(count).WithAvailableReplicas(count).
		WithCurrentReplicas(count).WithUpdatedReplicas(count).
		WithCurrentRevision(revision).WithUpdateRevision(revision)
	set := appsv1apply.StatefulSet(w.set.Name, w.set.Namespace).WithStatus(status)
	if _, err := w.kube.AppsV1().StatefulSets(w.set.Namespace).ApplyStatus(ctx, set, applyOptions()); err != nil {
		return fmt.Errorf("could not report the status of the StatefulSet: %w", err)
	}
	return nil
}
