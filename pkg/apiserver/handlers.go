// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/registry/deliver"
)

// buildHandlerChain returns a function that makes the framework's chain of filters, with ours inside and around it.
func (c ExtraConfig) buildHandlerChain(maxObjectBytes int64, stopping *atomic.Bool) func(http.Handler, *genericapiserver.Config) http.Handler {
	budget := newPayloadBudget(c.MaxInflightPayloadBytes, c.NamespaceSharePercent, c.MaxPayloadBytes, maxObjectBytes)
	return func(handler http.Handler, generic *genericapiserver.Config) http.Handler {
		share := newNamespaceShare(c.NamespaceSharePercent, generic.MaxMutatingRequestsInFlight, budget)
		bounded := withObjectLimit(deliver.WithDryRun(withPoliteReads(handler, watchWriteTimeout)), maxObjectBytes)
		authorized := c.whileAccepting(share.limit(bounded))
		callers := newCallerFilter(generic, c.Direct)
		ready := withRequestHeaderReady(callers.wrap(withInFlightLimit(authorized, generic)), generic.Authentication.RequestHeaderConfig)
		return deliver.WithoutQuerySecret(withConnectionClose(withBodyTimeout(ready, c.PayloadTimeout), stopping), querySecretWarning)
	}
}

// withConnectionClose ends each connection with the answer on it once the server is stopping. The kube-apiserver keeps
// connections for later requests, and would send one on a connection that is closed at the same moment.
func withConnectionClose(next http.Handler, stopping *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, req)
	})
}

// ErrStorageUnavailable is the answer while nothing can be stored. What is wrong is for the log: anyone may see this.
func ErrStorageUnavailable() error {
	return errUnavailable("nothing can be stored just now, see Postern's log: send it again later")
}

// errUnavailable answers 503, and when to send the request again.
func errUnavailable(message string) error {
	err := apierrors.NewServiceUnavailable(message)
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	return err
}

// storageReady returns the error that answers a delivery while nothing can be stored, and counts it.
func (c ExtraConfig) storageReady() error {
	if err := c.StorageReady(); err != nil {
		countRefused(causeStorage)
		return ErrStorageUnavailable()
	}
	return nil
}

// checkAccepting returns the error that answers a delivery to a namespace while none can be taken, and counts it. It tells that the
// namespace exists, and what it has.
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

// withAcceptCheck answers a request that would make a delivery, if none can be taken now. Of a sender that the cluster has not
// authenticated only the storage is asked about: whether the namespace takes deliveries it is told once it has proved itself.
func (c ExtraConfig) whileAccepting(next http.Handler) http.Handler {
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

const querySecretWarning = "the secret in the query of this URL can be read in the cluster's audit log: use a header, a signature or a ServiceAccount token if the sender can"
