// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

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
	"postern.dev/postern/pkg/registry/deliver"
)

// namespaceShare bounds how many requests that deliver or delete may be under way, and how much memory their bodies may take,
// in all and in one flow: the framework's own bound of requests would let one namespace, whose targets or senders are
// slow, take all there is.
type namespaceShare struct {
	requests *fairness.Counter
	budget   *payloadBudget
}

func newNamespaceShare(sharePercent, maxRequests int, budget *payloadBudget) *namespaceShare {
	return &namespaceShare{
		requests: fairness.NewCounter(fairness.Share{Total: int64(maxRequests), Percent: sharePercent}),
		budget:   budget,
	}
}

// flowOf returns the flow of a caller's requests to a namespace.
func flowOf(namespace string, caller user.Info) fairness.Flow {
	_, known := credential.Identify(caller)
	return fairness.Flow{Namespace: namespace, Anonymous: !known}
}

// limit answers a request 429 whose flow has its share already. It belongs inside of authorization, so that only those who
// may deliver can use up the share of a namespace, and outside of whatever waits or reads bodies.
func (s *namespaceShare) limit(next http.Handler) http.Handler {
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
			deliver.WriteError(w, err)
			return
		}
		defer end()
		bounded, release, err := s.budget.hold(req, flow, s.budget.bodiesAt(info))
		if err != nil {
			deliver.WriteError(w, err)
			return
		}
		defer release()
		next.ServeHTTP(w, bounded)
	})
}

// begin lets a request begin. Call end when it is answered. The error is ready to be answered.
func (s *namespaceShare) begin(flow fairness.Flow) (end func(), err error) {
	end, err = s.requests.Take(flow, 1)
	switch {
	case err == nil:
		return end, nil
	case errors.Is(err, fairness.ErrShare):
		countRefused(causeNamespaceRequests)
		s.budget.notices.Refused(flow, causeNamespaceRequests)
		return nil, errOverShare("as many requests to deliver to this namespace are under way as it may have", "--max-mutating-requests-inflight")
	}
	countRefused(causeRequestsInFlight)
	return nil, apierrors.NewTooManyRequests(
		"too many requests are being worked on (--max-mutating-requests-inflight bounds them): send it again later", retryAfterSeconds)
}

// errOverShare answers a request of a flow that has its share of what a flag bounds.
func errOverShare(what, flag string) error {
	return apierrors.NewTooManyRequests(fmt.Sprintf(
		"%s (--max-namespace-share-percent says how much of %s): send it again later", what, flag), retryAfterSeconds)
}

// errClientLeft answers a client that did not wait for its turn, and so reads no answer.
func errClientLeft() error {
	return apierrors.NewTooManyRequests("the request ended before its turn came", retryAfterSeconds)
}
