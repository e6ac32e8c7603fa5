// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import "context"

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
