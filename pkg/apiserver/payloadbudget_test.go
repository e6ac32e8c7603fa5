// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
)

var (
	toDoor   = genericapirequest.RequestInfo{APIGroup: postern.GroupName, Resource: "gatewaysyncs", Subresource: "webhookdeliveries"}
	toObject = genericapirequest.RequestInfo{APIGroup: postern.GroupName, Resource: "webhookdeliveries"}
)

// requestWith returns a request with a body of that length; -1 is one of which the length is not known.
func requestWith(info genericapirequest.RequestInfo, length int64) *http.Request {
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	req.ContentLength = length
	return req.WithContext(genericapirequest.WithRequestInfo(req.Context(), &info))
}

func TestABodyCountsByItsLengthAndAtMostAsTheLargest(t *testing.T) {
	const total, largestPayload, largestObject = 100, 10, 200
	for _, test := range []struct {
		name string
		req  *http.Request
		want int64
	}{
		{"a payload", requestWith(toDoor, 7), 7},
		{"a payload over the limit", requestWith(toDoor, 11), largestPayload},
		{"a payload of unknown length", requestWith(toDoor, -1), largestPayload},
		{"an object", requestWith(toObject, 50), 50},
		{"an object of unknown length, larger than the budget", requestWith(toObject, -1), total},
		{"no body", requestWith(toDoor, 0), 0},
		{"another group", requestWith(genericapirequest.RequestInfo{APIGroup: "other"}, 7), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newPayloadBudget(total, largestPayload, largestObject)
			served := false
			b.limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				served = true
				if !b.free.TryAcquire(total-test.want) || b.free.TryAcquire(1) {
					t.Errorf("the body does not count as %d", test.want)
				}
				b.free.Release(total - test.want)
			})).ServeHTTP(httptest.NewRecorder(), test.req)
			if !served {
				t.Error("the request was not served")
			}
			if !b.free.TryAcquire(total) {
				t.Error("the request has given nothing back")
			}
		})
	}
}

func TestARequestWaitsForItsShareOfTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPayloadBudget(10, 10, 10)
		answers := make(chan int, 1)
		if err := b.acquire(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		go func() {
			answer := httptest.NewRecorder()
			b.limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusAccepted)
			})).ServeHTTP(answer, requestWith(toDoor, 7))
			answers <- answer.Code
		}()
		synctest.Wait()
		if len(answers) > 0 {
			t.Fatalf("a request that must wait is answered %d", <-answers)
		}
		b.free.Release(4)
		if got := <-answers; got != http.StatusAccepted {
			t.Errorf("got %d, want 202", got)
		}
	})
}

func TestARequestThatWaitsTooLongIsToldToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPayloadBudget(10, 10, 10)
		if err := b.acquire(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		start, answer := time.Now(), httptest.NewRecorder()
		b.limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Error("the request was served")
		})).ServeHTTP(answer, requestWith(toDoor, 7))

		if waited := time.Since(start); waited != budgetPatience {
			t.Errorf("it waited %s, want %s", waited, budgetPatience)
		}
		mustBeTold(t, answer, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "--max-inflight-payload-bytes")
		if got := answer.Header().Get("Retry-After"); got != "5" {
			t.Errorf("got Retry-After %q, want 5", got)
		}
		if !b.free.TryAcquire(6) {
			t.Error("the request keeps some of the budget")
		}
	})
}

func TestAClientThatLeavesWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPayloadBudget(10, 10, 10)
		if err := b.acquire(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		leave()
		start := time.Now()
		if err := b.acquire(ctx, 1); err == nil {
			t.Error("got a share of a budget that is used up")
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("it waited %s", waited)
		}
	})
}

// mustBeTold fails the test unless the answer is a metav1.Status in JSON of that code and reason, which says that.
func mustBeTold(t *testing.T, answer *httptest.ResponseRecorder, code int, reason metav1.StatusReason, says string) {
	t.Helper()
	var status metav1.Status
	if err := json.Unmarshal(answer.Body.Bytes(), &status); err != nil {
		t.Fatalf("the answer %d is no JSON: %v: %s", answer.Code, err, answer.Body)
	}
	type told struct {
		Code, StatusCode int32
		Kind, Type       string
		Reason           metav1.StatusReason
	}
	want := told{int32(code), int32(code), "Status", "application/json", reason}
	got := told{int32(answer.Code), status.Code, status.Kind, answer.Header().Get("Content-Type"), status.Reason}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if !strings.Contains(status.Message, says) {
		t.Errorf("the message does not say %q: %s", says, status.Message)
	}
}
