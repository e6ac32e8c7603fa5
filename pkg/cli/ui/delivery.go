// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli/story"
)

// maxShown is how many targets and requests of one delivery are shown.
const maxShown = 100

// deliveryContent is the story of one delivery.
type deliveryContent struct {
	*story.Story

	Received time.Time
	// MoreTargets and MoreRequests are how many are not shown.
	MoreTargets, MoreRequests int
	Requests                  []v1alpha1.DeliveryEvent
	// Redeliverable is whether the delivery has requested anything.
	Redeliverable bool
	TakenBack     *metav1.Condition
	WatchProblem  string
}

func (s *server) delivery(ctx context.Context, v *visit) (*view, error) {
	delivery, err := s.get(ctx, v.Request)
	if err != nil {
		return nil, err
	}
	v.version = func() string { return v.feed.resourceVersion(delivery.UID) }
	told, err := story.Tell(ctx, s.cluster, delivery)
	if err != nil {
		return nil, err
	}
	c := &deliveryContent{
		Story: told, Received: trim(delivery).Received,
		Requests: delivery.Spec.Events, Redeliverable: len(delivery.Spec.Events) > 0,
		TakenBack: story.TakenBack(delivery),
	}
	c.Targets, c.MoreTargets = cut(c.Targets)
	c.Requests, c.MoreRequests = cut(c.Requests)
	if problem := v.feed.snapshot().WatchProblem; problem != nil {
		c.WatchProblem = explain(problem)
	}
	return &view{Title: delivery.Name, Content: c, News: newsOf(delivery, v)}, nil
}

// get returns the delivery that a request names.
func (s *server) get(ctx context.Context, r *http.Request) (*v1alpha1.WebhookDelivery, error) {
	namespace, err := namespaceOf(r)
	if err != nil {
		return nil, err
	}
	name := r.URL.Query().Get("name")
	if namespace == "" || name == "" {
		return nil, &pageError{http.StatusBadRequest, "The link names no delivery."}
	}
	d, err := s.cluster.Postern.PosternV1alpha1().WebhookDeliveries(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, &pageError{http.StatusNotFound, fmt.Sprintf(
			"There is no delivery %s in the namespace %s. It may have expired, or have been deleted.", name, namespace)}
	}
	return d, err
}

// newsOf says what has become of the delivery since the page was opened.
func newsOf(d *v1alpha1.WebhookDelivery, v *visit) string {
	if v.phase == "" {
		v.phase = d.Status.Phase
	}
	if v.phase == d.Status.Phase {
		return ""
	}
	return "The delivery is now " + string(d.Status.Phase)
}

// cut returns at most maxShown of the items, and how many there are beyond.
func cut[T any](items []T) ([]T, int) {
	n := min(len(items), maxShown)
	return items[:n], len(items) - n
}
