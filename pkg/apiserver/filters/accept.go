// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"slices"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
)

// storingVerbs are the verbs of requests that need a writable storage. Deletions free space.
var storingVerbs = []string{"create", "update", "patch"}

// Acceptance reports whether deliveries are accepted now. Its functions must be fast.
type Acceptance struct {
	// StorageReady returns an error while the storage is unavailable.
	StorageReady func() error
	// Backlog returns the response and the metric's cause while the namespace's backlog is full.
	Backlog func(namespace string) (cause string, err error)
}

// CheckStorage returns the response to a delivery while the storage is unavailable, and counts it.
func (a Acceptance) CheckStorage() error {
	if err := a.StorageReady(); err != nil {
		CountRefused(causeStorage)
		return ErrStorageUnavailable()
	}
	return nil
}

// Check returns the response to a delivery while the namespace accepts none, and counts it. It reveals that the
// namespace exists and has a backlog.
func (a Acceptance) Check(namespace string) error {
	if err := a.CheckStorage(); err != nil {
		return err
	}
	cause, err := a.Backlog(namespace)
	if err != nil {
		CountRefused(cause)
	}
	return err
}

// Filter answers a request to create a delivery if none is accepted now, or to change one if the storage is
// unavailable. For a caller not authenticated by the cluster it checks only the storage. The namespace is checked once
// the webhook secret is verified. Of a server-side apply, which may create a delivery, it is checked after admission.
func (a Acceptance) Filter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if ok && info.APIGroup == postern.GroupName && slices.Contains(storingVerbs, info.Verb) {
			caller, _ := genericapirequest.UserFrom(req.Context())
			check := func(string) error { return a.CheckStorage() }
			if _, known := credential.Identify(caller); known && info.Verb == "create" {
				check = a.Check
			}
			if err := check(info.Namespace); err != nil {
				WriteError(w, err)
				return
			}
		}
		next.ServeHTTP(w, req)
	})
}
