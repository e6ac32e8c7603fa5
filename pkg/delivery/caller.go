// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
)

// reasonNoIdentity is why an anonymous caller is rejected where a webhook secret does not suffice.
const reasonNoIdentity = "NoIdentity"

// RequireIdentity returns an error for a caller that the cluster has not authenticated, else nil. The message begins
// with what, the operation.
func RequireIdentity(caller user.Info, what string) error {
	if _, known := credential.Identify(caller); known {
		return nil
	}
	return &rejectedError{reason: reasonNoIdentity, StatusError: apierrors.NewUnauthorized(
		what + " only for callers that the cluster has authenticated: " +
			"send a ServiceAccount token or another cluster credential",
	)}
}

// AllowDryRun returns an error, which is logged and counted, if the caller may not make a dry run. A dry run discloses
// what a target holds and leaves no record, so a webhook secret does not suffice.
func (d *Deliverer) AllowDryRun(ctx context.Context, delivery *postern.WebhookDelivery, caller user.Info) error {
	err := RequireIdentity(caller, "a dry run is made")
	if err != nil {
		d.observe(ctx, delivery, err)
	}
	return err
}
