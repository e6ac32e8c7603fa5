// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// redeliverTimeout is longer than Postern takes to answer a delivery.
const redeliverTimeout = 20 * time.Second

// confirmContent asks whether to deliver again.
type confirmContent struct {
	Delivery *v1alpha1.WebhookDelivery
	// Trial is what a dry run answers. Nil if that failed for Problem.
	Trial       *v1alpha1.WebhookDelivery
	Targets     []v1alpha1.TargetResult
	MoreTargets int
	Problem     string
	// Form is the token of the form.
	Form string
}

// confirm shows what delivering again would do, and asks.
func (s *server) confirm(ctx context.Context, v *visit) (*view, error) {
	delivery, err := s.get(ctx, v.Request)
	if err != nil {
		return nil, err
	}
	c := &confirmContent{Delivery: delivery}
	if trial, err := s.sendAgain(ctx, delivery, true); err != nil {
		c.Problem = explain(err)
	} else {
		c.Trial, c.Form = trial, s.forms.add(delivery.UID)
		c.Targets, c.MoreTargets = cut(trial.Status.Targets)
	}
	return &view{Title: "Redeliver " + delivery.Name, Content: c}, nil
}

// redeliver delivers again and shows the new delivery.
func (s *server) redeliver(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, &pageError{http.StatusBadRequest, "The form can't be read."})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), redeliverTimeout)
	defer cancel()
	delivery, err := s.get(ctx, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !s.forms.take(r.PostForm.Get("form"), delivery.UID) {
		s.fail(w, r, &pageError{http.StatusForbidden,
			"The form was sent before, or is too old. Go back to the delivery and redeliver it from there."})
		return
	}
	created, err := s.sendAgain(ctx, delivery, false)
	if err != nil {
		s.fail(w, r, fmt.Errorf("could not redeliver %s: %w", delivery.Name, err))
		return
	}
	w.Header().Set("Location", link("delivery", "namespace", created.Namespace, "name", created.Name))
	w.WriteHeader(http.StatusSeeOther)
}

// sendAgain requests a redelivery and returns the new delivery.
func (s *server) sendAgain(ctx context.Context, d *v1alpha1.WebhookDelivery, dryRun bool) (*v1alpha1.WebhookDelivery,
	error) {
	request := s.cluster.Postern.PosternV1alpha1().RESTClient().Post().Namespace(d.Namespace).
		Resource("webhookdeliveries").Name(d.Name).SubResource("redeliver")
	if dryRun {
		request.Param("dryRun", metav1.DryRunAll)
	}
	created := &v1alpha1.WebhookDelivery{}
	err := request.Do(ctx).Into(created)
	return created, err
}
