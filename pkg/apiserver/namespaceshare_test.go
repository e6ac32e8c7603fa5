// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/registry/deliver"
)

// toNamespace is a request that delivers a payload to a namespace.
func toNamespace(namespace string, bytes int64) *http.Request {
	info := genericapirequest.RequestInfo{
		APIGroup: postern.GroupName, Verb: "create", Resource: "gatewaysyncs", Subresource: "webhookdeliveries", Namespace: namespace,
	}
	req := requestWith(info, bytes)
	req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(max(bytes, 100)))))
	return req.WithContext(genericapirequest.WithUser(req.Context(), &user.DefaultInfo{
		Name: "ci", Groups: []string{user.AllAuthenticated},
	}))
}

// anonymously makes a request one of a sender that the cluster has not authenticated.
func anonymously(req *http.Request) *http.Request {
	return req.WithContext(genericapirequest.WithUser(req.Context(), &user.DefaultInfo{
		Name: user.Anonymous, Groups: []string{user.AllUnauthenticated},
	}))
}

// blockedRequests is a handler in which each request is under way until the test ends, unless it is refused.
type blockedRequests struct {
	handler http.Handler
	reached chan struct{}
	leave   chan struct{}
}

func newBlockedRequests(t *testing.T, s *namespaceShare) *blockedRequests {
	t.Helper()
	u := &blockedRequests{reached: make(chan struct{}), leave: make(chan struct{})}
	u.handler = s.limit(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			deliver.WriteError(w, err)
			return
		}
		u.reached <- struct{}{}
		<-u.leave
	}))
	t.Cleanup(func() { close(u.leave) })
	return u
}

// send returns the answer if a request is refused, or nil once it is under way.
func (u *blockedRequests) send(req *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	answered := make(chan struct{})
	go func() {
		u.handler.ServeHTTP(answer, req)
		close(answered)
	}()
	select {
	case <-u.reached:
		return nil
	case <-answered:
		return answer
	}
}

func TestANamespaceWithManyRequestsUnderWayLeavesRoomForOthers(t *testing.T) {
	s := newNamespaceShare(50, 8, newPayloadBudget(1<<30, 50, 1<<10, 1<<10))
	u := newBlockedRequests(t, s)
	for i := range 4 {
		if refused := u.send(toNamespace("hostile", 1)); refused != nil {
			t.Fatalf("request %d was refused: %s", i, refused.Body)
		}
	}
	refused := u.send(toNamespace("hostile", 1))
	if refused == nil {
		t.Fatal("one namespace has more than a half of all requests under way")
	}
	mustAnswerTooManyRequests(t, refused, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
		"as many requests to deliver to this namespace are under way as it may have "+
			"(--max-namespace-share-percent says how much of --max-mutating-requests-inflight): send it again later")
	if refused.Header().Get("Retry-After") == "" {
		t.Error("the answer does not say when to send it again")
	}
	if refused := u.send(toNamespace("honest", 1)); refused != nil {
		t.Errorf("another namespace was refused: %s", refused.Body)
	}
}

func TestANamespaceWithLargeBodiesUnderWayLeavesRoomForOthers(t *testing.T) {
	for _, length := range []int64{100, -1} { // of unknown length
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which does not wait for the patience
				s := newNamespaceShare(50, 100, newPayloadBudget(4*PayloadCost(100), 50, 100, 100))
				u := newBlockedRequests(t, s)
				for range 2 {
					if refused := u.send(toNamespace("hostile", length)); refused != nil {
						t.Fatal(refused.Body)
					}
				}
				if refused := u.send(toNamespace("hostile", length)); refused == nil || !strings.Contains(refused.Body.String(), "--max-inflight-payload-bytes") {
					t.Errorf("one namespace has more than a half of all bytes under way: %v", refused)
				}
				if refused := u.send(toNamespace("honest", length)); refused != nil {
					t.Errorf("another namespace was refused: %s", refused.Body)
				}
			})
		})
	}
}

func TestUnauthenticatedSendersLeaveRoomForTheOthersOfTheirNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newNamespaceShare(50, 8, newPayloadBudget(8*PayloadCost(100), 50, 100, 100))
		u := newBlockedRequests(t, s)
		for range 100 {
			if u.send(anonymously(toNamespace("demo", 100))) != nil {
				break
			}
		}
		if refused := u.send(toNamespace("demo", 100)); refused != nil {
			t.Errorf("an authenticated sender was refused: %s", refused.Body)
		}
	})
}

func TestWhatOnlyReadsHasNoShare(t *testing.T) {
	s := newNamespaceShare(1, 1, newPayloadBudget(1, 1, 1, 1))
	u := newBlockedRequests(t, s)
	for range 3 {
		req := toNamespace("demo", 0)
		req.Method = http.MethodGet
		if refused := u.send(req); refused != nil {
			t.Error(refused.Body)
		}
	}
}
