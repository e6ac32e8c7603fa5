// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// held is a fake API server that blocks the first PATCH until it is released.
func held(t *testing.T) (api *fakeAPIServer, holding <-chan struct{}, letGo func()) {
	t.Helper()
	api = newFakeAPIServer(t, plantAt("main"))
	arrived, gone := make(chan struct{}), make(chan struct{})
	api.before = func(_ *fakeAPIServer, method string, n int) *answer {
		if method == http.MethodPatch && n == 1 {
			close(arrived)
			<-gone
		}
		return nil
	}
	letGo = sync.OnceFunc(func() { close(gone) })
	t.Cleanup(letGo)
	return api, arrived, letGo
}

// pendingAt returns how many requests wait for a target.
func pendingAt(w *Writer, key postern.TargetKey) int {
	w.batcher.mu.Lock()
	defer w.batcher.mu.Unlock()
	return len(w.batcher.pending[key])
}

func TestWriter_SixteenRequestsTwoPatches(t *testing.T) {
	api, holding, letGo := held(t)
	writer, _ := newTestWriter(t, api, nil)
	outcomes := make([]Result, 16)
	var running sync.WaitGroup
	write := func(i int) {
		running.Go(func() {
			outcome, err := writeOne(t.Context(), writer, plant, event(fmt.Sprint("v", i), "github", 1+i, 20+i), false)
			if err != nil {
				t.Error(err)
			}
			outcomes[i] = outcome
		})
	}
	write(0)
	<-holding
	for i := range 15 {
		write(1 + i)
	}
	eventually(t, "all others wait", func() bool { return pendingAt(writer, plant) == 15 })
	letGo()
	running.Wait()

	requests, object := api.seen()
	const get, patch = "GET", "PATCH fieldManager=postern"
	if diff := cmp.Diff([]string{get, patch, get, patch}, requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if got := requestedIn(parse(t, postern.TargetGatewaySync, object)); got != "v15" {
		t.Errorf("holds %q", got)
	}
	for i, outcome := range outcomes {
		want := ReasonSuperseded
		if i == 0 || i == 15 {
			want = ReasonRequested
		}
		if outcome.Reason != want {
			t.Errorf("v%d: got %+v, want %s", i, outcome, want)
		}
	}
}

func TestWriter_DryRunDoesNotWait(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v0"))
	writer, _ := newTestWriter(t, api, nil)
	g := newGate()
	writer.batcher.write = g.write
	var running sync.WaitGroup
	running.Go(func() {
		if _, err := writeOne(t.Context(), writer, plant,
			Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v1"}, At: noon}, false); err != nil {
			t.Error(err)
		}
	})
	<-g.begun
	if got, err := writeOne(t.Context(), writer, plant,
		Request{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2"}, At: noon}, true); err != nil ||
		got.Reason != ReasonRequested {
		t.Errorf("got %+v and error %v", got, err)
	}
	g.let <- struct{}{}
	running.Wait()
}

// inOrder makes requests with distinct event times of one sender, in random order of arrival, and returns the newest.
func inOrder(r *rand.Rand, of func(n int) Request) (requests []Request, newest Request) {
	for _, happened := range r.Perm(6) {
		request := withEvent(of(r.IntN(4)), func(e *postern.DeliveryEvent) {
			e.Source, e.Time = "github", &metav1.MicroTime{Time: minute(1 + happened)}
		})
		request.At, request.Received = noon, minute(100+len(requests))
		request.Retry = r.IntN(3) == 0
		if happened == 5 {
			newest = request
		}
		requests = append(requests, request)
	}
	return requests, newest
}

// inBatches splits requests into batches, each in random order.
func inBatches(r *rand.Rand, requests []Request) [][]Request {
	var batches [][]Request
	for len(requests) > 0 {
		count := 1 + r.IntN(len(requests))
		batch := slices.Clone(requests[:count])
		r.Shuffle(count, func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		batches, requests = append(batches, batch), requests[count:]
	}
	return batches
}

func TestWriter_NewestInAnyOrder(t *testing.T) {
	type orderedCase struct {
		target  batchTarget
		request func(n int) Request
		holds   func(t *testing.T, document string) string
	}
	named := func(n int) Request {
		return Request{DeliveryEvent: &postern.DeliveryEvent{Ref: fmt.Sprint("v", n),
			Repository: "https://git.acme.io/shop"}}
	}
	for name, test := range map[string]orderedCase{
		"git refs of a GatewaySync": {batchTargets[0], named, func(t *testing.T, document string) string {
			return requestedIn(parse(t, postern.TargetGatewaySync, document))
		}},
		"git refs of an Application": {batchTargets[1], named, func(t *testing.T, document string) string {
			return *appOf(t, document).Spec.Sources[0].TargetRevision
		}},
		"images of the newest build": {batchTargets[1], func(n int) Request {
			return Request{DeliveryEvent: &postern.DeliveryEvent{Ref: fmt.Sprint("b", n),
				Image: image(t, fmt.Sprint("nginx:b", n))}}
		},
			func(t *testing.T, document string) string {
				images := appOf(t, document).Spec.Sources[0].Kustomize.Images
				return images[len(images)-1][len("nginx:"):]
			}},
	} {
		t.Run(name, func(t *testing.T) {
			served, r := test.target.serve(t), rand.New(rand.NewPCG(13, 14))
			for range 60 {
				requests, newest := inOrder(r, test.request)
				served.writer.watermarks = newWatermarkCache(maxCachedTargets)
				served.api.mu.Lock()
				served.api.object = test.target.document
				served.api.mu.Unlock()
				batches := inBatches(r, requests)
				for _, batch := range batches {
					for _, result := range served.writer.writeBatch(t.Context(), test.target.key, batch) {
						if result.Err != nil {
							t.Fatal(result.Err)
						}
					}
				}
				_, document := served.api.seen()
				if got := test.holds(t, document); got != newest.Ref {
					t.Errorf("%+v: holds %s", batches, got)
				}
				annotations := annotationsOf(t, parse(t, test.target.key.Kind, document))
				kept := slices.Collect(maps.Values(parseWatermarks(annotations)))
				if len(kept) != 1 || !kept[0].Time.Equal(newest.EventTime()) {
					t.Errorf("%+v: keeps %+v", batches, kept)
				}
			}
		})
	}
}
