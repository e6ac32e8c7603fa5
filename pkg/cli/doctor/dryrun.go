// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// examineDryRun delivers to the target without writing it. All policies and webhooks see the delivery and the patch,
// with the user who asks as the sender.
func (e *examiner) examineDryRun(ctx context.Context) {
	if e.Try == "" || e.Target == nil || !e.answers {
		return
	}
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, GenerateName: "doctor-"},
		Spec:       v1alpha1.WebhookDeliverySpec{Target: e.Target, Ref: e.Try, Events: []v1alpha1.DeliveryEvent{}},
	}
	// No git ref has a colon.
	if colon := strings.LastIndexByte(e.Try, ':'); colon >= 0 {
		delivery.Spec.Image, delivery.Spec.Ref = e.Try[:colon], e.Try[colon+1:]
	}
	answer, err := e.Postern.PosternV1alpha1().WebhookDeliveries(e.Namespace).Create(ctx, delivery,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case err == nil:
		answer.UID = ""
		e.reportOutcome(ctx, e.outcomeOf(answer), "a dry run, as you, of "+e.Try)
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), `" cannot create resource "webhookdeliveries"`):
		e.report(Unknown, "", "you may not create webhookdeliveries in %s, as a dry run needs", e.Namespace)
	default:
		e.report(Fault, e.admissionRemedy(ctx, err.Error()), "a dry run, as you, of %s is refused: %v", e.Try, err)
	}
}
