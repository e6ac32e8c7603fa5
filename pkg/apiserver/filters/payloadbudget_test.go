// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/fairness"
)

var (
	toEndpoint = genericapirequest.RequestInfo{APIGroup: postern.GroupName, Resource: "gatewaysyncs",
		Subresource: "webhookdeliveries"}
	toObject = genericapirequest.RequestInfo{APIGroup: postern.GroupName, Resource: "webhookdeliveries"}
)

// requestWith returns a request with a body of that length; -1 is unknown.
func requestWith(info genericapirequest.RequestInfo, length int64) *http.Request {
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	req.ContentLength = length
	return req.WithContext(genericapirequest.WithRequestInfo(req.Context(), &info))
}

var demo = fairness.Flow{Namespace: "demo"}

// mustHaveFree fails the test unless exactly that many bytes are free for another flow. Call it in a synctest bubble.
func mustHaveFree(t *testing.T, slots *fairness.Slots, want int64) {
	t.Helper()
	other := fairness.Flow{Namespace: "other"}
	if want > 0 {
		release, err := slots.Acquire(t.Context(), other, want)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if release, err := slots.Acquire(ctx, other, 1); err == nil {
		release()
		t.Errorf("more than %d bytes are free", want)
	}
}

func TestPayloadBudget_CountsLengthUpToLargest(t *testing.T) {
	const total, largestPayload, largestObject, forArrivals = 4 << 20, 100_000, 1 << 20, 2 << 20
	payloads, objects := (*PayloadBudget).payloads, (*PayloadBudget).objects
	for _, test := range []struct {
		name              string
		kind              func(*PayloadBudget) bodyClass
		length, sent      int64
		arriving, arrived int64 // after the first bytes, if there are more, and at the end
	}{
		{"a payload", payloads, 80_000, 80_000, 160_000, PayloadCost(80_000)},
		{"a payload over the limit", payloads, 100_001, 100_001, 200_000, 0},
		{"a payload of unknown length", payloads, -1, 80_000, 200_000, PayloadCost(80_000)},
		{"a small payload", payloads, 7_000, 7_000, 0, PayloadCost(7_000)},
		{"a small payload of unknown length", payloads, -1, 50, 0, PayloadCost(50)},
		{"an object", objects, 80_000, 80_000, 160_000, objectCost(80_000)},
		{"an object of unknown length", objects, -1, 80_000, 2 << 20, objectCost(80_000)},
		{"no body", payloads, 0, 0, 0, 0},
		{"nothing of what was announced", payloads, 80_000, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewPayloadBudget(total, 100, largestPayload, largestObject)
				bounded, release, err := b.reserve(requestOf(test.length, test.sent), demo, test.kind(b))
				if err != nil {
					t.Fatal(err)
				}
				mustHaveFree(t, b.arriving, forArrivals)
				_, err = io.CopyN(io.Discard, bounded.Body, firstBytes+1)
				if whole := errors.Is(err, io.EOF); whole == (test.sent > firstBytes) {
					t.Fatal(err)
				}
				mustHaveFree(t, b.arriving, forArrivals-test.arriving)
				if _, err := io.Copy(io.Discard, bounded.Body); err != nil {
					t.Fatal(err)
				}
				mustHaveFree(t, b.decoding, total-test.arrived)
				if test.arrived > 0 {
					mustHaveFree(t, b.arriving, forArrivals)
				}
				release()
				mustHaveFree(t, b.arriving, forArrivals)
				mustHaveFree(t, b.decoding, total)
			})
		})
	}
}

// requestOf returns a request that announces a body of a length, -1 for unknown, and sends that many bytes.
func requestOf(length, sent int64) *http.Request {
	req := requestWith(toEndpoint, length)
	req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(sent))))
	return req
}

func TestPayloadBudget_RequestWaitsForShare(t *testing.T) {
	const afterFirst, beforeDecoding = "after its first bytes", "before it is decoded"
	for _, step := range []string{afterFirst, beforeDecoding} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewPayloadBudget(PayloadCost(100_000), 100, 100_000, 100_000)
				slots := map[string]*fairness.Slots{afterFirst: b.arriving, beforeDecoding: b.decoding}[step]
				release, err := slots.Acquire(t.Context(), fairness.Flow{}, b.total) // all bytes
				if err != nil {
					t.Fatal(err)
				}
				answered := make(chan error, 1)
				go func() {
					bounded, release, err := b.reserve(requestOf(80_000, 80_000), demo, b.payloads())
					if err == nil {
						defer release()
						_, err = io.Copy(io.Discard, bounded.Body)
					}
					answered <- err
				}()
				synctest.Wait()
				if len(answered) > 0 {
					t.Fatalf("a request that must wait was answered: %v", <-answered)
				}
				release()
				if err := <-answered; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestPayloadBudget_LongWaitGets429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewPayloadBudget(PayloadCost(10), 100, 10, 10)
		free := PayloadCost(7) - 1
		if _, err := b.decoding.Acquire(t.Context(), fairness.Flow{}, b.total-free); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		bounded, release, err := b.reserve(requestOf(7, 7), demo, b.payloads())
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, bounded.Body)
		code, retry := assertTooManyRequests(t, err, "--max-inflight-payload-bytes")
		if code != http.StatusTooManyRequests || retry != 5 {
			t.Errorf("got %d, Retry-After %d; want 429, 5", code, retry)
		}
		if waited := time.Since(start); waited != budgetTimeout {
			t.Errorf("it waited %s, want %s", waited, budgetTimeout)
		}
		release()
		mustHaveFree(t, b.decoding, free)
	})
}

func TestPayloadBudget_RefusesObjectOverBudget(t *testing.T) {
	const largest = 1 << 20
	b := NewPayloadBudget(objectCost(largest)-1, 50, largest, largest)
	for _, length := range []int64{largest, -1} {
		req := requestWith(toObject, length)
		req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", largest)))
		bounded, release, err := b.reserve(req, demo, b.objects())
		if err == nil {
			_, err = io.Copy(io.Discard, bounded.Body)
			release()
		}
		code, _ := assertTooManyRequests(t, err, "--max-inflight-payload-bytes")
		if code != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d, want 413", code)
		}
	}
}

// The maximum number of requests in flight, each in a namespace of its own and so within its share.
func TestPayloadBudget_AnnouncedBytesLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewPayloadBudget(128<<20, 50, 1<<20, 2<<20)
		for i := range 200 {
			flow := fairness.Flow{Namespace: fmt.Sprintf("invented-%d", i), Anonymous: true}
			bounded, _, err := b.reserve(requestOf(1<<20, firstBytes), flow, b.payloads())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, bounded.Body, firstBytes); err != nil {
				t.Fatal(err)
			}
		}
		if err := read(b, demo, 1<<20); err != nil {
			t.Error(err)
		}
	})
}

// read processes a request with a body of that size and returns when the body is released.
func read(b *PayloadBudget, flow fairness.Flow, size int) error {
	bounded, release, err := b.reserve(requestOf(int64(size), int64(size)), flow, b.payloads())
	if err != nil {
		return err
	}
	defer release()
	if _, err := io.Copy(io.Discard, bounded.Body); err != nil {
		return err
	}
	<-time.After(10 * time.Millisecond)
	return nil
}

// The body alone needs more than a share of half the budget.
func TestPayloadBudget_AcceptsLargestBodyThatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewPayloadBudget(PayloadCost(1<<20), 50, 1<<20, 1<<20)
		if err := read(b, demo, 1<<20); err != nil {
			t.Error(err)
		}
	})
}

func TestPayloadBudget_AcceptsManyLargeBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewPayloadBudget(128<<20, 50, 1<<20, 2<<20)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := read(b, demo, 1<<20); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

func TestPayloadBudget_DisconnectEndsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewPayloadBudget(PayloadCost(100_000), 100, 100_000, 100_000)
		if _, err := b.arriving.Acquire(t.Context(), fairness.Flow{}, b.total); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		leave()
		start := time.Now()
		bounded, _, err := b.reserve(requestOf(80_000, 80_000).WithContext(ctx), demo, b.payloads())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, bounded.Body); err == nil {
			t.Error("got a share of an exhausted budget")
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("it waited %s", waited)
		}
	})
}

// mustAnswerTooManyRequests fails the test unless the response is a metav1.Status in JSON with that code and reason,
// and a message that contains says.
func mustAnswerTooManyRequests(
	t *testing.T, answer *httptest.ResponseRecorder, code int, reason metav1.StatusReason, says string,
) {
	t.Helper()
	var status metav1.Status
	if err := json.Unmarshal(answer.Body.Bytes(), &status); err != nil {
		t.Fatalf("the response %d is not JSON: %v: %s", answer.Code, err, answer.Body)
	}
	type response struct {
		Code, StatusCode int32
		Kind, Type       string
		Reason           metav1.StatusReason
	}
	want := response{int32(code), int32(code), "Status", "application/json", reason}
	got := response{int32(answer.Code), status.Code, status.Kind, answer.Header().Get("Content-Type"), status.Reason}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if !strings.Contains(status.Message, says) {
		t.Errorf("the message does not contain %q: %s", says, status.Message)
	}
}
