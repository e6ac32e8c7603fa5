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

// reasonNoIdentity is why a caller is rejected that wants what no webhook secret is good for.
const reasonNoIdentity = "NoIdentity"

// RequireIdentity returns the answer to a caller that the cluster has not authenticated, else nil. The message begins with
// what is asked for.
func RequireIdentity(caller user.Info, what string) error {
	if _, known := credential.Identify(caller); known {
		return nil
	}
	return &rejectedError{reason: reasonNoIdentity, StatusError: apierrors.NewUnauthorized(
		what + " only for whom the cluster has authenticated: show a ServiceAccount token or another credential of the cluster",
	)}
}

// AllowDryRun returns an error, which is logged and counted, if a caller may not have a dry run. It tells what a target
// holds and would do, and leaves no record: a webhook secret is not enough for that.
func (d *Deliverer) AllowDryRun(ctx context.Context, delivery *postern.WebhookDelivery, caller user.Info) error {
	err := RequireIdentity(caller, "a dry run is made")
	if err != nil {
		d.observe(ctx, delivery, err)
	}
	return err
}
