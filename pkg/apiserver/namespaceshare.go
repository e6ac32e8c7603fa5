// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/fairness"
	"postern.dev/postern/pkg/registry/deliver"
)

// namespaceShare bounds how many requests that deliver or delete may be under way in one namespace, and how much memory their
// bodies may take. The framework and the payload budget bound those of all: alone they would let one namespace, whose
// targets or senders are slow, take all there is.
type namespaceShare struct {
	requests *fairness.Counter
	bytes    *fairness.Slots
	// budget says how much memory a body may take.
	budget *payloadBudget
}

func newNamespaceShare(c ExtraConfig, maxRequests int, budget *payloadBudget) *namespaceShare {
	return &namespaceShare{
		requests: fairness.NewCounter(fairness.Share{Total: int64(maxRequests), Percent: c.NamespaceSharePercent}),
		bytes:    fairness.NewSlots(fairness.Share{Total: budget.total, Percent: c.NamespaceSharePercent}),
		budget:   budget,
	}
}

// limit answers a request 429 whose namespace has its share already. It belongs inside of authorization, so that only
// those who may deliver can use up the share of a namespace, and outside of whatever waits or reads bodies.
func (s *namespaceShare) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if !ok || info.APIGroup != postern.GroupName || info.Namespace == "" || req.Method == http.MethodGet {
			next.ServeHTTP(w, req)
			return
		}
		release, err := s.take(req.Context(), info.Namespace, s.budget.weightOf(req, info))
		if err != nil {
			deliver.WriteError(w, err)
			return
		}
		defer release()
		next.ServeHTTP(w, req)
	})
}

// take takes one request, whose body may take that many bytes of memory, from the share of a namespace. Call release when it is answered.
func (s *namespaceShare) take(ctx context.Context, namespace string, bytes int64) (release func(), err error) {
	giveBackRequest, ok := s.requests.Take(namespace, 1)
	if !ok {
		return nil, s.refuse("requests to deliver to this namespace", "--max-mutating-requests-inflight")
	}
	giveBackBytes, err := s.takeBytes(ctx, namespace, bytes)
	if err != nil {
		giveBackRequest()
		return nil, err
	}
	return func() {
		giveBackBytes()
		giveBackRequest()
	}, nil
}

// takeBytes waits a little until the share of a namespace has room for that many bytes, and takes them.
func (s *namespaceShare) takeBytes(ctx context.Context, namespace string, bytes int64) (release func(), err error) {
	if bytes == 0 {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, budgetPatience)
	defer cancel()
	release, err = s.bytes.Acquire(ctx, namespace, bytes)
	if err != nil {
		return nil, s.refuse("or too large requests to deliver to this namespace", "--max-inflight-payload-bytes")
	}
	return release, nil
}

func (s *namespaceShare) refuse(what, flag string) error {
	countRefused(causeNamespaceRequests)
	return apierrors.NewTooManyRequests(fmt.Sprintf(
		"too many %s are being worked on (--max-namespace-share-percent says how much of %s it may take): send it again later", what, flag), retryAfterSeconds)
}
