// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// slowTargets take a while for each target, and stop with the context. They want nothing.
type slowTargets struct {
	Targets
	takes time.Duration
	// hangs are the targets that do not answer.
	hangs   map[string]bool
	late    error
	outcome target.Result

	mu       sync.Mutex
	finished map[string]int
}

func (s *slowTargets) Write(ctx context.Context, key postern.TargetKey, requests []target.Request,
	_ bool) []target.Result {
	takes := s.takes
	if s.hangs[key.Name] {
		takes = time.Hour
	}
	results := make([]target.Result, len(requests))
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		for i := range results {
			results[i].Err = s.late
		}
		return results
	}
	for i := range results {
		results[i] = s.outcome
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished[key.Name]++
	return results
}

// mustBeFinishedOnce fails if a target was not finished, or was executed again afterwards.
func (s *slowTargets) mustBeFinishedOnce(t *testing.T, names []string) {
	t.Helper()
	for _, name := range names {
		if n := s.finished[name]; n != 1 {
			t.Errorf("%s was finished %d times", name, n)
		}
	}
}

// wide returns a pipeline for a push of many tags of one image, which many Applications use.
func wide(late error, names []string, takes time.Duration) (*pipeline, *slowTargets) {
	p := newDefaultPipeline()
	slow := &slowTargets{Targets: p.Targets, takes: takes, late: late, finished: map[string]int{},
		hangs:   map[string]bool{},
		outcome: target.Result{Reason: "OlderVersion", Message: "1.0.1 is behind 9.9.9, which is in use"}}
	p.Deliverer.Targets = slow
	p.matches = matching("demo", names...)
	return p, slow
}

func pushOf(t *testing.T, tags int) Request {
	t.Helper()
	var updated []string
	for i := range tags {
		updated = append(updated, fmt.Sprintf("1.0.%d", i))
	}
	body, err := json.Marshal(map[string]any{
		"name": "b", "repository": "a/b", "namespace": "a", "docker_url": "quay.io/a/b",
		"homepage": "https://quay.io/repository/a/b", "updated_tags": updated,
	})
	if err != nil {
		t.Fatal(err)
	}
	return Request{Header: http.Header{}, Body: body, User: ci}
}

func apps(count int) []string {
	var names []string
	for i := range count {
		names = append(names, fmt.Sprintf("app%03d", i))
	}
	return names
}

// tried resumes a delivery until it is not pending any more, and returns the number of tries.
func tried(t *testing.T, p *pipeline, d *postern.WebhookDelivery, bound int) (tries int) {
	t.Helper()
	for tries < bound {
		tries++
		<-time.After(12 * time.Second) // as the controller waits, on the fake clock
		err := p.Resume(t.Context(), d, false)
		if size := len(mustJSON(t, d)); size > 1<<20 {
			t.Fatalf("the record has %d bytes", size)
		}
		if err == nil {
			return tries
		}
		if !errors.Is(err, ErrStillPending) {
			t.Fatal(err)
		}
	}
	t.Fatalf("still pending after %d tries: %s %s, %+v", tries, d.Status.Reason, d.Status.Message, d.Status.Progress)
	return tries
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestWide_FinishesInSeveralPasses(t *testing.T) {
	late := unavailable(t)
	synctest.Test(t, func(t *testing.T) {
		names := apps(120)
		p, slow := wide(late, names, 6*time.Second) // 90 s of work for the 8 concurrent writes
		d, err := p.Deliver(t.Context(), toAll(), pushOf(t, 256), false)
		if err != nil {
			t.Fatal(err)
		}
		p.Drain()
		if d.Status.Phase != postern.DeliveryPending || d.Status.Progress == nil || len(slow.finished) == 0 {
			t.Fatalf("after %d targets: %s %s, %+v", len(slow.finished), d.Status.Phase, d.Status.Message,
				d.Status.Progress)
		}
		if tries := tried(t, p, d, 6); tries < 2 {
			t.Errorf("%d tries sufficed for all", tries)
		}
		slow.mustBeFinishedOnce(t, names)
		const want = "0 written, 0 unchanged, 30720 skipped, 0 superseded, 0 pending, 0 failed"
		if s := d.Status; s.Phase != postern.DeliveryIgnored || s.Reason != "OlderVersion" || s.Message != want ||
			s.Progress != nil {
			t.Errorf("got %s %s, %s, %+v; want %s", s.Phase, s.Reason, s.Message, s.Progress, want)
		}
	})
}

func TestWide_HangingTargetsDelayNoOthers(t *testing.T) {
	late := unavailable(t)
	for name, tags := range map[string]int{"all results listed": 1, "not all results listed": 64} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				names := apps(60)
				p, slow := wide(late, names, time.Second)
				for _, name := range names[:10] { // the first ones, and more than are written concurrently
					slow.hangs[name] = true
				}
				d, err := p.Deliver(t.Context(), toAll(), pushOf(t, tags), false)
				if err != nil {
					t.Fatal(err)
				}
				p.Drain()
				for range 5 {
					<-time.After(12 * time.Second) // as the controller waits, on the fake clock
					if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrStillPending) {
						t.Fatal(err)
					}
				}
				slow.mustBeFinishedOnce(t, names[10:])
				clear(slow.hangs)
				tried(t, p, d, 2)
				slow.mustBeFinishedOnce(t, names)
				want := fmt.Sprintf("0 written, 0 unchanged, %d skipped, 0 superseded, 0 pending, 0 failed", 60*tags)
				if d.Status.Message != want {
					t.Errorf("got %s, want %s", d.Status.Message, want)
				}
			})
		})
	}
}

func TestWide_GivenUpReportsRemainder(t *testing.T) {
	late := unavailable(t)
	synctest.Test(t, func(t *testing.T) {
		p, slow := wide(late, apps(60), time.Second)
		slow.outcome = target.Result{Held: true, Changes: []target.Change{{}}, Reason: target.ReasonRequested}
		for _, name := range apps(60)[:20] {
			slow.hangs[name] = true
		}
		d, err := p.Deliver(t.Context(), toAll(), pushOf(t, 64), false)
		if err != nil {
			t.Fatal(err)
		}
		p.Drain()
		for range 3 {
			if err := p.Resume(t.Context(), d, false); !errors.Is(err, ErrStillPending) {
				t.Fatal(err)
			}
		}
		if err := p.Resume(t.Context(), d, true); err != nil {
			t.Fatal(err)
		}
		const want = "2560 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 1280 failed"
		if s := d.Status; s.Phase != postern.DeliveryFailed || s.Message != want {
			t.Errorf("got %s, %s; want Failed, %s", s.Phase, s.Message, want)
		}
	})
}

func TestWide_TooManyTargetsAreRefused(t *testing.T) {
	p, slow := wide(nil, apps(129), 0)
	_, err := p.Deliver(t.Context(), toAll(), pushOf(t, 256), false)
	if !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("got %v", err)
	}
	if len(slow.finished) > 0 {
		t.Errorf("%d targets were written", len(slow.finished))
	}
}

func TestWide_OrderByKindAndName(t *testing.T) {
	ordered := []string{"Application/a", "Application/a-b", "Application/a.b", "Application/b", "GatewaySync/a"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := comesAfter(a, b); got != (i > j) {
				t.Errorf("%s comes after %s: %t", a, b, got)
			}
		}
	}
}
