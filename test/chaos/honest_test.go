// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// honest is a namespace with a modest load: each stream sends one ref after the other.
type honest struct {
	*world
	streams []*stream
	ledger  *ledger
	history *history
	// unsent counts requests that could not be sent in time because the previous one was not answered.
	unsent int
}

// stream is one sender with the targets that only it delivers to. It sends the next ref when the previous one is
// answered, so their order is certain.
type stream struct {
	name    string
	sender  sender
	path    string
	targets []target
	// next creates the nth request. n is unique.
	next func(n int) request
	sent int
}

// streamInterval is the interval of a stream's requests.
const streamInterval = 500 * time.Millisecond

// newHonest creates the namespace, and returns once all streams have delivered.
func (c *cluster) newHonest(t *testing.T) *honest {
	t.Helper()
	h := &honest{world: c.newWorld(t, 2, 2), ledger: &ledger{}}
	sync0, sync1, app0, app1 := h.targets[0], h.targets[1], h.targets[2], h.targets[3]
	signer, secret := h.signer()
	h.Grant(rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: h.Namespace, Name: "ci"},
		"create", "webhooksources/webhookdeliveries")
	following, running := h.createFollowers()

	plainly := func(g target) func(int) request {
		return func(n int) request { return plain(g, fmt.Sprintf("v%d", n)) }
	}
	signed := func(g target) func(int) request {
		return func(n int) request {
			r := release(g, fmt.Sprintf("v%d", n), time.Now())
			r.header["X-GitHub-Delivery"] = g.name + "-" + r.ref
			r.header["X-Hub-Signature-256"] = testcluster.Sign(secret, r.body)
			return r
		}
	}
	h.streams = []*stream{
		{name: "tags by source", sender: h.ci, path: bySource("gitlab"), targets: following, next: pushOfTag},
		{name: "images by source", sender: h.ci, path: bySource("quay.io"), targets: running, next: pushOfImage},
	}
	for _, g := range []target{sync0, app0} {
		h.streams = append(h.streams, &stream{
			name: "with an identity", sender: h.ci, path: g.path(), targets: []target{g}, next: plainly(g),
		})
	}
	for _, g := range []target{sync1, app1} {
		h.streams = append(h.streams, &stream{
			name: "signed", sender: signer, path: g.path(), targets: []target{g}, next: signed(g),
		})
	}
	for _, l := range h.streams {
		h.warmUp(l)
	}
	h.history = h.follow()
	return h
}

// warmUp sends until a request has reached all targets of a stream: new objects take effect with a delay.
func (h *honest) warmUp(l *stream) {
	h.T.Helper()
	h.Eventually(testcluster.Patience, func() error {
		r := l.next(l.sent)
		l.sent++
		got := l.sender.post(l.path, strings.NewReader(r.body), len(r.body), r.header)
		if got.code != http.StatusAccepted {
			return fmt.Errorf("%s: got %s", l.name, got)
		}
		held := h.held()
		for _, g := range l.targets {
			if held[g] != r.ref {
				return fmt.Errorf("%s: %s has %q, want %q; got %s", l.name, g, held[g], r.ref, got)
			}
		}
		return nil
	})
}

// deliver lets all streams send for a while, or until the channel is closed. It returns the time from when each request
// was due until it was answered. This includes the wait for the previous answer, because real senders do not wait for
// each other. Requests that could not be sent in time count as waiting until the end.
func (h *honest) deliver(length time.Duration, broken <-chan struct{}) []time.Duration {
	var all sync.Mutex
	var took []time.Duration
	var work sync.WaitGroup
	start := time.Now()
	for i, l := range h.streams {
		offset := time.Duration(i) * streamInterval / time.Duration(len(h.streams))
		work.Go(func() {
			for due := start.Add(offset); due.Before(start.Add(length)); due = due.Add(streamInterval) {
				select {
				case <-broken:
					return
				case <-time.After(time.Until(due)):
				}
				inTime := time.Since(start) < length
				if inTime {
					h.send(l)
				}
				all.Lock()
				if took = append(took, time.Since(due)); !inTime {
					h.unsent++
				}
				all.Unlock()
			}
		})
	}
	work.Wait()
	return took
}

// send sends the next request of a stream, and records it for each target.
func (h *honest) send(l *stream) {
	r := l.next(l.sent)
	l.sent++
	began := time.Now()
	got := l.sender.post(l.path, strings.NewReader(r.body), len(r.body), r.header)
	for _, g := range l.targets {
		r.target = g
		h.ledger.enter(r, began, got)
	}
}

// check fails the test unless all requests were accepted, all refs written in order, and the last refs kept.
func (h *honest) check() {
	h.T.Helper()
	h.onlyCodes(h.ledger, http.StatusAccepted)
	outcomes := h.settled(settleWithin)
	held := h.held()
	written := h.history.until(h, held)
	v := judge(h.ledger.all(), evidence{outcomes: outcomes, held: held, written: written})
	h.T.Logf("honest: %s", v)
	if len(v.problems) > 0 {
		h.T.Errorf("%d problems in the honest namespace:\n%s", len(v.problems), v.first(10))
	}
	for _, problem := range h.history.backwards() {
		h.T.Error(problem)
	}
	for _, l := range h.streams {
		for _, g := range l.targets {
			if last := l.next(l.sent - 1).ref; held[g] != last {
				h.T.Errorf("%s: %s has %q, want %q, which was sent last", l.name, g, held[g], last)
			}
		}
	}
	h.checkPhases(outcomes)
}

// checkPhases fails the test if an answer's phase contradicts the record. Only pending deliveries are superseded,
// because the next ref is sent after the answer.
func (h *honest) checkPhases(outcomes map[string]outcome) {
	h.T.Helper()
	phases := map[v1alpha1.DeliveryPhase]int{}
	for _, e := range h.ledger.all() {
		if phases[e.phase]++; !e.accepted() || e.phase == v1alpha1.DeliveryPending {
			continue
		}
		if o := outcomes[e.record]; e.phase != v1alpha1.DeliveryApplied || o.phase != e.phase {
			h.T.Errorf("%s to %s was answered as %q and is recorded as %q %q: %s",
				e.ref, e.target, e.phase, o.phase, o.reason, o.message)
		}
	}
	h.T.Logf("honest: phases as answered %v; %d were not sent in time", phases, h.unsent)
}
