// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
)

// NamespaceShare bounds the requests in flight that deliver or delete, and the memory of their bodies, in total and per
// flow. The framework limits only the total, which one namespace with slow targets or senders could use up.
type NamespaceShare struct {
	requests *fairness.Counter
	budget   *PayloadBudget
}

// NewNamespaceShare returns the share of maxRequests and of budget that one flow may use.
func NewNamespaceShare(sharePercent, maxRequests int, budget *PayloadBudget) *NamespaceShare {
	return &NamespaceShare{
		requests: fairness.NewCounter(fairness.Share{Total: int64(maxRequests), Percent: sharePercent}),
		budget:   budget,
	}
}

// flowOf returns the flow of a caller's requests in a namespace.
func flowOf(namespace string, caller user.Info) fairness.Flow {
	_, known := credential.Identify(caller)
	return fairness.Flow{Namespace: namespace, Anonymous: !known}
}

// Limit answers 429 to a request whose flow has used its share. It must be inside authorization, so that only callers
// that may deliver use the namespace's share, and outside handlers that wait or read bodies.
func (s *NamespaceShare) Limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if !ok || info.APIGroup != postern.GroupName || req.Method == http.MethodGet {
			next.ServeHTTP(w, req)
			return
		}
		caller, _ := genericapirequest.UserFrom(req.Context())
		flow := flowOf(info.Namespace, caller)
		end, err := s.begin(flow)
		if err != nil {
			WriteError(w, err)
			return
		}
		defer end()
		bounded, release, err := s.budget.reserve(req, flow, s.budget.bodyClassFor(info))
		if err != nil {
			WriteError(w, err)
			return
		}
		defer release()
		next.ServeHTTP(w, bounded)
	})
}

// begin reserves a request of the flow. Call end when the request is answered. The error is an API status.
func (s *NamespaceShare) begin(flow fairness.Flow) (end func(), err error) {
	end, err = s.requests.TryAcquire(flow, 1)
	switch {
	case err == nil:
		return end, nil
	case errors.Is(err, fairness.ErrShare):
		CountRefused(causeNamespaceRequests)
		s.budget.notices.Refused(flow, causeNamespaceRequests)
		return nil, errOverShare("too many requests of this namespace are in flight",
			"--max-mutating-requests-inflight")
	}
	CountRefused(causeRequestsInFlight)
	return nil, apierrors.NewTooManyRequests(
		"too many requests are in flight (--max-mutating-requests-inflight bounds them): send it again later",
		RetryAfterSeconds)
}

// errOverShare returns a 429 for a flow that has used its share of the limit set by flag.
func errOverShare(what, flag string) error {
	return apierrors.NewTooManyRequests(fmt.Sprintf(
		"%s (--max-namespace-share-percent limits its share of %s): send it again later", what, flag),
		RetryAfterSeconds)
}
