// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

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
)

// toNamespace returns a request that delivers a payload to a namespace.
func toNamespace(namespace string, bytes int64) *http.Request {
	info := genericapirequest.RequestInfo{
		APIGroup: postern.GroupName, Verb: "create", Resource: "gatewaysyncs", Subresource: "webhookdeliveries",
		Namespace: namespace,
	}
	req := requestWith(info, bytes)
	req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(max(bytes, 100)))))
	return req.WithContext(genericapirequest.WithUser(req.Context(), &user.DefaultInfo{
		Name: "ci", Groups: []string{user.AllAuthenticated},
	}))
}

// anonymously makes the caller of a request anonymous.
func anonymously(req *http.Request) *http.Request {
	return req.WithContext(genericapirequest.WithUser(req.Context(), &user.DefaultInfo{
		Name: user.Anonymous, Groups: []string{user.AllUnauthenticated},
	}))
}

// blockedRequests is a handler that blocks every request that is not refused until the test ends.
type blockedRequests struct {
	handler http.Handler
	reached chan struct{}
	leave   chan struct{}
}

func newBlockedRequests(t *testing.T, s *NamespaceShare) *blockedRequests {
	t.Helper()
	u := &blockedRequests{reached: make(chan struct{}), leave: make(chan struct{})}
	u.handler = s.Limit(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			WriteError(w, err)
			return
		}
		u.reached <- struct{}{}
		<-u.leave
	}))
	t.Cleanup(func() { close(u.leave) })
	return u
}

// send returns the response to a refused request, or nil while the request is in flight.
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

func TestNamespaceShare_BoundsRequests(t *testing.T) {
	s := NewNamespaceShare(50, 8, NewPayloadBudget(1<<30, 50, 1<<10, 1<<10))
	u := newBlockedRequests(t, s)
	for i := range 4 {
		if refused := u.send(toNamespace("hostile", 1)); refused != nil {
			t.Fatalf("request %d was refused: %s", i, refused.Body)
		}
	}
	refused := u.send(toNamespace("hostile", 1))
	if refused == nil {
		t.Fatal("one namespace has more than half of all requests in flight")
	}
	mustAnswerTooManyRequests(t, refused, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
		"too many requests of this namespace are in flight "+
			"(--max-namespace-share-percent limits its share of --max-mutating-requests-inflight): send it again later")
	if refused.Header().Get("Retry-After") == "" {
		t.Error("the response has no Retry-After")
	}
	if refused := u.send(toNamespace("honest", 1)); refused != nil {
		t.Errorf("another namespace was refused: %s", refused.Body)
	}
}

func TestNamespaceShare_BoundsBytes(t *testing.T) {
	for _, length := range []int64{100, -1} { // of unknown length
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // with a fake clock
				s := NewNamespaceShare(50, 100, NewPayloadBudget(4*PayloadCost(100), 50, 100, 100))
				u := newBlockedRequests(t, s)
				for range 2 {
					if refused := u.send(toNamespace("hostile", length)); refused != nil {
						t.Fatal(refused.Body)
					}
				}
				if refused := u.send(toNamespace("hostile", length)); refused == nil ||
					!strings.Contains(refused.Body.String(), "--max-inflight-payload-bytes") {
					t.Errorf("one namespace has more than half of all bytes in flight: %v", refused)
				}
				if refused := u.send(toNamespace("honest", length)); refused != nil {
					t.Errorf("another namespace was refused: %s", refused.Body)
				}
			})
		})
	}
}

func TestNamespaceShare_AnonymousLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewNamespaceShare(50, 8, NewPayloadBudget(8*PayloadCost(100), 50, 100, 100))
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

func TestNamespaceShare_ReadsHaveNone(t *testing.T) {
	s := NewNamespaceShare(1, 1, NewPayloadBudget(1, 1, 1, 1))
	u := newBlockedRequests(t, s)
	for range 3 {
		req := toNamespace("demo", 0)
		req.Method = http.MethodGet
		if refused := u.send(req); refused != nil {
			t.Error(refused.Body)
		}
	}
}
