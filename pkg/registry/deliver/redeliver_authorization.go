// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
)

// authorizationRetryAfterSeconds is after how long to send a request again about whose sender nothing could be found out.
const authorizationRetryAfterSeconds = 5

// authorize returns an error unless a sender may make the delivery of a record at the endpoint of its target, or at
// that of its source if it has no target. The right to redeliver alone is for all records of a namespace; this keeps it
// from reaching a target that its holder may not deliver to.
func (r *RedeliverREST) authorize(ctx context.Context, original *postern.WebhookDelivery, sender user.Info) error {
	if sender == nil {
		return nil // an anonymous sender is refused for what it is
	}
	resource, name := endpointOf(original)
	decision, _, err := r.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: sender, Verb: "create", Namespace: original.Namespace,
		APIGroup: postern.GroupName, APIVersion: v1alpha1.SchemeGroupVersion.Version,
		Resource: resource, Subresource: "webhookdeliveries", Name: name, ResourceRequest: true,
	})
	if err != nil {
		klog.FromContext(ctx).Error(err, "Could not find out whether a sender may redeliver", "namespace", original.Namespace, "delivery", original.Name)
		unavailable := apierrors.NewServiceUnavailable("the kube-apiserver could not be asked what the sender may do: send it again")
		unavailable.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: authorizationRetryAfterSeconds}
		return unavailable
	}
	if decision != authorizer.DecisionAllow {
		return errForbidden(original, sender, resource, name)
	}
	return nil
}

// endpointOf returns the resource and the name below which a delivery is made that asks for what a record does.
func endpointOf(d *postern.WebhookDelivery) (resource, name string) {
	switch {
	case d.Spec.Target == nil:
		return "webhooksources", d.Spec.Source
	case d.Spec.Target.Kind == postern.TargetApplication:
		return "applications", d.Spec.Target.Name
	default:
		return "gatewaysyncs", d.Spec.Target.Name
	}
}

func errForbidden(d *postern.WebhookDelivery, sender user.Info, resource, name string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Details: &metav1.StatusDetails{Group: postern.GroupName, Kind: "webhookdeliveries", Name: d.Name},
		Message: fmt.Sprintf("webhookdeliveries.%s %q is forbidden: to redeliver it, user %q must be allowed to create "+
			"%s/webhookdeliveries named %q in the namespace %q, as a first delivery needs",
			postern.GroupName, d.Name, sender.GetName(), resource, name, d.Namespace),
	}}
}
