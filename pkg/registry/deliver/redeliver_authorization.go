// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/klog/v2"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apierror"
)

// authorizationRetryAfterSeconds is the Retry-After if the authorization failed with an error.
const authorizationRetryAfterSeconds = 5

// authorize returns an error unless the sender may deliver to the endpoint of the record's target, or of its source if
// it has no target. The permission to redeliver covers all records of a namespace, and must not give access to targets
// that the sender may not deliver to.
func (r *RedeliverREST) authorize(ctx context.Context, original *postern.WebhookDelivery, sender user.Info) error {
	if sender == nil {
		return nil // Redeliver rejects anonymous senders
	}
	resource, name := endpointOf(original)
	decision, _, err := r.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: sender, Verb: "create", Namespace: original.Namespace,
		APIGroup: postern.GroupName, APIVersion: v1alpha1.SchemeGroupVersion.Version,
		Resource: resource, Subresource: "webhookdeliveries", Name: name, ResourceRequest: true,
	})
	if err != nil {
		klog.FromContext(ctx).Error(err, "Could not authorize a redelivery",
			"namespace", original.Namespace, "delivery", original.Name)
		return apierror.Unavailable("could not ask the kube-apiserver for the sender's permissions: send it again",
			authorizationRetryAfterSeconds)
	}
	if decision != authorizer.DecisionAllow {
		return errForbidden(original, sender, resource, name)
	}
	return nil
}

// endpointOf returns the resource and name of the endpoint for a delivery like d.
func endpointOf(d *postern.WebhookDelivery) (resource, name string) {
	if d.Spec.Target == nil {
		return "webhooksources", d.Spec.Source
	}
	return d.Spec.Target.Kind.Resource(), d.Spec.Target.Name
}

func errForbidden(d *postern.WebhookDelivery, sender user.Info, resource, name string) error {
	err := apierror.New(http.StatusForbidden, metav1.StatusReasonForbidden, fmt.Sprintf(
		"webhookdeliveries.%s %q is forbidden: to redeliver it, user %q must be allowed to create "+
			"%s/webhookdeliveries named %q in the namespace %q, as for a first delivery",
		postern.GroupName, d.Name, sender.GetName(), resource, name, d.Namespace))
	err.ErrStatus.Details = &metav1.StatusDetails{
		Group: postern.GroupName, Kind: "webhookdeliveries", Name: d.Name,
	}
	return err
}
