// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"sync/atomic"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/registry/deliver"
)

// buildHandlerChain returns a function that builds the framework's filter chain with our filters inside and around it.
func (c ExtraConfig) buildHandlerChain(
	maxObjectBytes int64, stopping *atomic.Bool,
) func(http.Handler, *genericapiserver.Config) http.Handler {
	budget := newPayloadBudget(c.MaxInflightPayloadBytes, c.NamespaceSharePercent, c.MaxPayloadBytes, maxObjectBytes)
	return func(handler http.Handler, generic *genericapiserver.Config) http.Handler {
		share := newNamespaceShare(c.NamespaceSharePercent, generic.MaxMutatingRequestsInFlight, budget)
		bounded := withObjectLimit(deliver.WithDryRun(withYieldingReads(handler, watchWriteTimeout)), maxObjectBytes)
		authorized := c.withAcceptCheck(share.limit(bounded))
		callers := newCallerFilter(generic, c.Direct)
		ready := withRequestHeaderReady(callers.wrap(withInFlightLimit(authorized, generic)),
			generic.Authentication.RequestHeaderConfig)
		return deliver.WithoutQuerySecret(withConnectionClose(withBodyTimeout(ready, c.PayloadTimeout), stopping),
			querySecretWarning)
	}
}

// withConnectionClose closes each connection after its response once the server is stopping. Otherwise the
// kube-apiserver would reuse connections and could send a request on one that is being closed.
func withConnectionClose(next http.Handler, stopping *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, req)
	})
}

// ErrStorageUnavailable is the response while the storage is unavailable. The cause is only logged: any caller sees
// this.
func ErrStorageUnavailable() error {
	return errUnavailable("the storage is unavailable, see Postern's log: send it again later")
}

// errUnavailable returns a 503 with Retry-After.
func errUnavailable(message string) error { return apierror.Unavailable(message, retryAfterSeconds) }

// storageReady returns the response to a delivery while the storage is unavailable, and counts it.
func (c ExtraConfig) storageReady() error {
	if err := c.StorageReady(); err != nil {
		countRefused(causeStorage)
		return ErrStorageUnavailable()
	}
	return nil
}

// checkAccepting returns the response to a delivery while the namespace accepts none, and counts it. It reveals that
// the namespace exists and has a backlog.
func (c ExtraConfig) checkAccepting(namespace string) error {
	if err := c.storageReady(); err != nil {
		return err
	}
	cause, err := c.Backlog(namespace)
	if err != nil {
		countRefused(cause)
	}
	return err
}

// withAcceptCheck answers a request to create a delivery if none is accepted now. For a caller not authenticated by the
// cluster it checks only the storage. The namespace is checked once the webhook secret is verified.
func (c ExtraConfig) withAcceptCheck(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if ok && info.APIGroup == postern.GroupName && info.Verb == "create" {
			caller, _ := genericapirequest.UserFrom(req.Context())
			checkAccepting := func(string) error { return c.storageReady() }
			if _, known := credential.Identify(caller); known {
				checkAccepting = c.checkAccepting
			}
			if err := checkAccepting(info.Namespace); err != nil {
				deliver.WriteError(w, err)
				return
			}
		}
		next.ServeHTTP(w, req)
	})
}

const querySecretWarning = "the secret in the query of this URL can be read in the cluster's audit log: use a " +
	"header, a signature or a ServiceAccount token if the sender can"
