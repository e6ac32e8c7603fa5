// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/util/flowcontrol"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// hostile is a namespace whose owner uses an owner's permissions to attack. The rate and the concurrency of the attacks
// are bounded: the test is not about exhausting the kube-apiserver's seats or the machine by numbers, but about
// exhausting Postern by expensive requests.
type hostile struct {
	*world
	// anonymous knows the namespace's webhook secret.
	anonymous sender
	secret    string
	// direct calls Postern's own port, and neighbor the honest namespace; both are unauthenticated.
	direct, neighbor sender
	neighborTarget   target
	attacks          []*attack
	cancel           context.CancelFunc
	work             sync.WaitGroup
	// recordBytes is the size of the next annotation in the records attack.
	recordBytes atomic.Int64
}

// attack is one kind of request, or a group of related requests.
type attack struct {
	name string
	// workers send concurrently, all together at most perSecond requests per second on a machine with four processors,
	// which clients, kube-apiserver, both etcds and Postern share. The rate scales with the number of processors.
	workers   int
	perSecond float32
	// prepare creates the objects of the attack, or is nil. It is called once, at the start of the attack.
	prepare func(ctx context.Context, h *hostile) error
	// strike runs the attack the nth time. Several workers call it concurrently.
	strike func(ctx context.Context, h *hostile, n int) answer

	mu      sync.Mutex
	strikes int
	codes   map[int]int // of all answers; 0 without an answer
	last    map[int]string
	failure error
}

// selected reports whether CHAOS_ATTACKS, a regular expression, selects an attack.
func selected(t *testing.T, name string) bool {
	t.Helper()
	expression, err := regexp.Compile(os.Getenv("CHAOS_ATTACKS"))
	if err != nil {
		t.Fatalf("CHAOS_ATTACKS: %v", err)
	}
	return expression.MatchString(name)
}

// newHostile creates the namespace, and returns once its senders are authenticated.
func (c *cluster) newHostile(t *testing.T, postern *controlplane.Postern, neighbor *honest) *hostile {
	t.Helper()
	h := &hostile{world: c.newWorld(t, 2, 2), neighborTarget: neighbor.targets[0]}
	h.anonymous, h.secret = h.signer()
	const deliveries = "/webhookdeliveries"
	const everywhere = "gatewaysyncs" + deliveries + ",applications" + deliveries + ",webhooksources" + deliveries
	h.Grant(testcluster.Unauthenticated, "create", everywhere)
	h.Grant(rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: h.Namespace, Name: "ci"}, rbacv1.VerbAll,
		everywhere+",webhookdeliveries,webhookdeliveries/redeliver,webhooksources")
	h.neighbor = neighbor.sender("")
	h.direct = h.sender("")
	h.direct.Base = strings.Replace(h.direct.Base, h.Address(), postern.Address(), 1)
	h.direct.Client = newClient(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	t.Cleanup(h.direct.Client.CloseIdleConnections)
	h.recordBytes.Store(largestAnnotation)
	for _, a := range attacks() {
		if selected(t, a.name) {
			h.attacks = append(h.attacks, a)
		}
	}
	return h
}

// start starts all attacks. They run until stop.
func (h *hostile) start() {
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.T.Cleanup(h.stop)
	for _, a := range h.attacks {
		a.codes, a.last = map[int]int{}, map[int]string{}
		h.work.Go(func() { a.run(ctx, h) })
	}
}

// stop ends all attacks and cancels requests in flight. It is idempotent.
func (h *hostile) stop() {
	h.cancel()
	h.work.Wait()
}

func (a *attack) run(ctx context.Context, h *hostile) {
	if a.prepare != nil {
		if err := a.prepare(ctx, h); err != nil {
			a.failure = err
			return
		}
	}
	pace := flowcontrol.NewTokenBucketRateLimiter(a.perSecond*float32(runtime.NumCPU())/4, 1)
	var workers sync.WaitGroup
	for range a.workers {
		workers.Go(func() {
			for pace.Wait(ctx) == nil && ctx.Err() == nil {
				a.mu.Lock()
				n := a.strikes
				a.strikes++
				a.mu.Unlock()
				got := a.strike(ctx, h, n)
				if ctx.Err() == nil { // otherwise it was canceled
					a.enter(got)
				}
			}
		})
	}
	workers.Wait()
}

func (a *attack) enter(got answer) {
	code := got.code
	if got.err != nil {
		code = 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.codes[code]++
	a.last[code] = got.String()
}

// total returns the number of requests. It and report may be called only after stop.
func (h *hostile) total() int {
	total := 0
	for _, a := range h.attacks {
		total += a.strikes
	}
	return total
}

// report lists the answers to each attack by code, with an example of each error code.
func (h *hostile) report() string {
	var text strings.Builder
	for _, a := range h.attacks {
		fmt.Fprintf(&text, "%-30s %5d sent, answers %v\n", a.name, a.strikes, a.codes)
		for _, code := range slices.Sorted(maps.Keys(a.last)) {
			if code == 0 || code >= http.StatusBadRequest {
				fmt.Fprintf(&text, "%30s %.160s\n", "", a.last[code])
			}
		}
	}
	return text.String()
}

// mustHaveStruck fails the test for each attack that sent nothing. The short form only logs that: with other tests on a
// small machine there may be too little time for some.
func (h *hostile) mustHaveStruck() {
	h.T.Helper()
	report := h.T.Logf
	if long() {
		report = h.T.Errorf
	}
	for _, a := range h.attacks {
		if a.failure != nil {
			report("the attack %q could not be prepared: %v", a.name, a.failure)
		} else if a.strikes == 0 {
			report("the attack %q did nothing", a.name)
		}
	}
}

func (s sender) deliver(ctx context.Context, path, body string, header map[string]string) answer {
	return s.do(ctx, http.MethodPost, path, strings.NewReader(body), len(body), header)
}

// signed returns the header of a body with a signature by the namespace's secret, and more.
func (h *hostile) signed(body string, more map[string]string) map[string]string {
	header := map[string]string{"X-Hub-Signature-256": testcluster.Sign(h.secret, body)}
	maps.Copy(header, more)
	return header
}
