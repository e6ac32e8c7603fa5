// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
)

// Request is a webhook on its way through the pipeline. An endpoint fills in the exported fields. The stages complete
// the Delivery.
type Request struct {
	// Delivery is where the webhook goes: its namespace, and its target, its source or both.
	Delivery *postern.WebhookDelivery
	// Header holds the sender's headers under canonical keys.
	Header http.Header
	// Body is the payload, byte for byte.
	Body []byte
	// QuerySecret is the secret in the query of the URL, if any.
	QuerySecret string
	// RegistryURL is the registry_url in the query, for senders whose payload does not name their registry.
	RegistryURL string
	// User is the caller that the cluster has authenticated; nil is anonymous.
	User user.Info
	// AuthorizationIsToken is true if the Authorization header is for Postern, and not for the kube-apiserver.
	AuthorizationIsToken bool
	// NoShare is true if the request names no target that it may deliver to, as far as that is known. It then counts
	// against one share for all such requests, and not against the share of the namespace that it names.
	NoShare bool
	// Forbidden is the answer if the endpoint leads nowhere; else nil. It is disclosed to verified senders only.
	Forbidden error
	// DryRun is true if nothing may be recorded or written.
	DryRun bool

	// received is true if the sender is verified and the payload decoded, redelivery if there is no payload, since the
	// events are from a record.
	received, redelivery bool
	// deliveryID is the sender's id of the delivery, which repeats have too; empty if there is none.
	deliveryID string
	// first is the record of the delivery that this one repeats; nil if there is none. inFlight is set instead if this
	// process has executed the first delivery in the meantime.
	first    *postern.WebhookDelivery
	inFlight *call
	// call is what repeats of this request wait for; nil if it can't be repeated.
	call *call
	// recordFirst is true if targets may be written only once the delivery is recorded.
	recordFirst bool
}

// spanName returns the name of the request's span.
func (r *Request) spanName() string {
	if r.redelivery {
		return spanRedeliver
	}
	return spanDeliver
}

// flow returns the flow whose share the request uses.
func (r *Request) flow() fairness.Flow {
	_, authenticated := credential.Identify(r.User)
	flow := fairness.Flow{Namespace: r.Delivery.Namespace, Anonymous: !authenticated}
	if r.NoShare {
		flow.Namespace = "" // otherwise the namespace's senders wait for a request that must not be delivered to it
	}
	return flow
}

// attempt returns the request as an authentication attempt in its namespace.
func (r *Request) attempt() credential.Attempt {
	attempt := credential.Attempt{
		Source: r.Delivery.Spec.Source, Namespace: r.Delivery.Namespace, Header: r.Header, Body: r.Body,
		QuerySecret: r.QuerySecret, User: r.User, AuthorizationIsToken: r.AuthorizationIsToken,
	}
	if r.Delivery.Spec.Target != nil {
		attempt.Target = credentialTarget(targetKey(r.Delivery))
	}
	return attempt
}

// checkDryRun returns an error for a dry run of a caller that the cluster has not authenticated: it discloses what a
// target holds and leaves no record, so a webhook secret does not suffice.
func (r *Request) checkDryRun() error {
	if !r.DryRun {
		return nil
	}
	return RequireIdentity(r.User, "a dry run is made")
}

type querySecretKey struct{}

// WithQuerySecret returns a context with the secret from the query of the URL, for callers that strip it from the URL.
func WithQuerySecret(ctx context.Context, secret string) context.Context {
	return context.WithValue(ctx, querySecretKey{}, secret)
}

// QuerySecretFrom returns the secret from the query of the URL, or "".
func QuerySecretFrom(ctx context.Context) string {
	secret, _ := ctx.Value(querySecretKey{}).(string)
	return secret
}
