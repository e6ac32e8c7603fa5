// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// batchTarget is an object for which random requests of all types are made.
type batchTarget struct {
	key      postern.TargetKey
	path     string
	document string
	random   func(t *testing.T, r *rand.Rand) Request
}

func randomGitRequest(_ *testing.T, r *rand.Rand) Request {
	request := Request{
		DeliveryEvent: &postern.DeliveryEvent{Ref: []string{"main", "dev", "v1.0.0", "v1.1.0", "v2.0.0"}[r.IntN(5)],
			Revision:   []string{"", "1111", "2222"}[r.IntN(3)],
			Repository: []string{"", "https://git.acme.io/shop", "https://git.acme.io/values"}[r.IntN(3)]},
		IfFollowed: r.IntN(2) == 0,
	}
	request.RefType = postern.RefTypeBranch
	if request.Ref[0] == 'v' {
		request.RefType = postern.RefTypeTag
	}
	return timedAtRandom(r, request)
}

func timedAtRandom(r *rand.Rand, request Request) Request {
	request = withEvent(request, func(e *postern.DeliveryEvent) {
		e.Source, e.Time = []string{"github", "harbor"}[r.IntN(2)], &metav1.MicroTime{Time: minute(r.IntN(10))}
	})
	request.At, request.Received = noon, minute(1+r.IntN(20))
	request.Retry, request.Override = r.IntN(4) == 0, r.IntN(6) == 0
	return request
}

func (b batchTarget) requests(t *testing.T, r *rand.Rand) []Request {
	requests := make([]Request, 1+r.IntN(6))
	for i := range requests {
		requests[i] = b.random(t, r)
	}
	return requests
}

// served is a target on an API server, and a Writer that reads it live.
type served struct {
	batchTarget
	api    *fakeAPIServer
	writer *Writer
}

func (b batchTarget) serve(t *testing.T) served {
	t.Helper()
	api := newFakeAPIServer(t, b.document)
	api.path = b.path
	cache := startCache(t, api) // in which no kind is installed
	eventually(t, "ready", func() bool { return cache.Ready() == nil })
	writer, _ := newTestWriter(t, api, cache)
	return served{b, api, writer}
}

// written writes requests in groups, each with one patch, and returns the outcomes and the final object.
func (s served) written(t *testing.T, document string, groups ...[]Request) (all []Result, after string) {
	t.Helper()
	s.writer.watermarks = newWatermarkCache(maxCachedTargets)
	s.api.mu.Lock()
	s.api.object = document
	s.api.mu.Unlock()
	for _, group := range groups {
		all = append(all, s.writer.write(t.Context(), s.key, group, false)...)
	}
	for _, result := range all {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
	}
	_, after = s.api.seen()
	return all, after
}

// alone makes a group for each request.
func alone(requests []Request) [][]Request {
	var groups [][]Request
	for _, r := range requests {
		groups = append(groups, []Request{r})
	}
	return groups
}

func TestPlan_BatchEqualsSequence(t *testing.T) {
	for _, target := range batchTargets {
		t.Run(string(target.key.Kind), func(t *testing.T) {
			served, r := target.serve(t), rand.New(rand.NewPCG(3, 4))
			for n := range 60 {
				served.writer.Shared = n%2 == 1
				_, document := served.written(t, target.document, alone(target.requests(t, r))...)
				requests := target.requests(t, r)
				requests = pick(requests, orderByReceipt(requests)) // as in one batch
				outcomes, after := served.written(t, document, alone(requests)...)
				together, afterAll := served.written(t, document, requests)
				if diff := cmp.Diff(outcomes, together); diff != "" {
					t.Errorf("%+v: outcomes (-one by one +together):\n%s", requests, diff)
				}
				expectObject(t, withoutVersion(t, after), withoutVersion(t, afterAll))
			}
		})
	}
}

// If the cache can't distinguish empty from absent the patch is rejected, and a live read follows.
func TestPlan_OnCacheFitsOrIsRefused(t *testing.T) {
	for _, target := range batchTargets {
		t.Run(string(target.key.Kind), func(t *testing.T) {
			r, planned := rand.New(rand.NewPCG(5, 6)), 0
			for range 600 {
				document, _ := oneByOne(t, target.key.Kind, target.document, target.random(t, r))
				requests := []Request{target.random(t, r), target.random(t, r)}
				cached := parse(t, target.key.Kind, document)
				trim(t, cached)
				got, err := planFor(t.Context(), snapshot{kind: mustKind(target.key.Kind), obj: cached}, requests,
					planState{})
				if errors.Is(err, errCacheUncertain) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				patched, err := apply(document, got.patch)
				if err != nil {
					continue
				}
				planned++
				after, reasons := oneByOne(t, target.key.Kind, document, requests...)
				if diff := cmp.Diff(reasons, []string{got.decisions[0].Reason, got.decisions[1].Reason}); diff != "" {
					t.Errorf("%+v: reasons (-one by one +planned):\n%s", requests, diff)
				}
				expectObject(t, after, patched)
			}
			if planned < 60 {
				t.Errorf("only %d of 600 batches were planned on the cache", planned)
			}
		})
	}
}

// withoutVersion removes the field that the API server sets.
func withoutVersion(t *testing.T, document string) string {
	t.Helper()
	var object map[string]any
	decode(t, document, &object)
	delete(object["metadata"].(map[string]any), "resourceVersion")
	return encode(t, object)
}

func TestPlan_AppliedTwiceChangesNothing(t *testing.T) {
	for _, target := range batchTargets {
		t.Run(string(target.key.Kind), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 8))
			for range 500 {
				before, _ := oneByOne(t, target.key.Kind, target.document, target.requests(t, r)...)
				request := target.random(t, r)
				state := planState{shared: r.IntN(2) == 0}
				after, first := oneByOneIn(t, state, target.key.Kind, before, request)
				request.At = request.At.Add(1)
				decision := decideIn(t, state, parse(t, target.key.Kind, after), request)
				if len(decision.Changes) > 0 || len(decision.Patch) > 0 {
					t.Errorf("%+v resulted in %s, and the second time in %+v", request, first, decision)
				}
			}
		})
	}
}
