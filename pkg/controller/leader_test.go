// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/leaderelection"
)

// times are the defaults of Kubernetes' own components.
var times = leaderelection.LeaderElectionConfig{
	LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
}

// takeover is the longest time until another replica notices that a lease was released.
const takeover = 5 * time.Second

// replicas are Leaders that contend for one lease, and a log of their runs.
type replicas struct {
	lease lease
	// endsAfter is how long a run continues after it is stopped.
	endsAfter time.Duration
	// fails is the error with which a run fails at once, if set.
	fails func(name string) error

	mu      sync.Mutex
	running []string
	most    int
	runs    map[string]int
}

// start starts a replica, and returns its lock and a function that stops it.
func (r *replicas) start(t *testing.T, name string) (*lock, func()) {
	t.Helper()
	lock, election := &lock{lease: &r.lease, identity: name}, times
	election.Lock = lock
	leader := NewLeader(election, func(ctx context.Context) error { return r.run(ctx, name) })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- leader.Start(ctx) }()
	return lock, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s ended with %v", name, err)
		}
		for _, still := range r.runningNames() {
			if still == name {
				t.Errorf("%s still runs after Start has returned", name)
			}
		}
	}
}

func (r *replicas) run(ctx context.Context, name string) error {
	r.mu.Lock()
	if r.runs == nil {
		r.runs = map[string]int{}
	}
	r.runs[name]++
	if r.fails != nil {
		if err := r.fails(name); err != nil {
			r.mu.Unlock()
			return err
		}
	}
	r.running = append(r.running, name)
	r.most = max(r.most, len(r.running))
	r.mu.Unlock()
	<-ctx.Done()
	advance(r.endsAfter)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, running := range r.running {
		if running == name {
			r.running = append(r.running[:i:i], r.running[i+1:]...)
			break
		}
	}
	return nil
}

func (r *replicas) runningNames() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.running...)
}

// expect advances the fake clock and checks which replicas run then.
func (r *replicas) expect(t *testing.T, after time.Duration, want ...string) {
	t.Helper()
	advance(after)
	synctest.Wait()
	if diff := cmp.Diff(append([]string{}, want...), r.runningNames()); diff != "" {
		t.Errorf("running replicas (-want +got):\n%s", diff)
	}
}

func TestLeader_WithoutLockLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ended := &replicas{}, make(chan error)
		ctx, stop := context.WithCancel(t.Context())
		leader := NewLeader(leaderelection.LeaderElectionConfig{}, func(ctx context.Context) error {
			_ = r.run(ctx, "a")
			return errors.New("failed")
		})
		go func() { ended <- leader.Start(ctx) }()
		r.expect(t, 0, "a")
		stop()
		if err := <-ended; err == nil || err.Error() != "failed" {
			t.Errorf("ended with %v, want its error", err)
		}
	})
}

func TestLeader_OneAtATimeAndNextTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replicas{}
		_, stopA := r.start(t, "a")
		r.expect(t, 0, "a")
		_, stopB := r.start(t, "b")
		r.expect(t, time.Hour, "a")
		stopA()
		r.expect(t, takeover, "b")
		_, stopA = r.start(t, "a")
		r.expect(t, time.Hour, "b")
		stopB()
		r.expect(t, takeover, "a")
		stopA()
		r.expect(t, 0)
		if r.most != 1 || r.runs["a"] != 2 || r.runs["b"] != 1 {
			t.Errorf("%d ran concurrently; runs: %v", r.most, r.runs)
		}
	})
}

// A replica that can't reach the kube-apiserver keeps serving, and leads again when it can.
func TestLeader_LosingLeaseStopsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replicas{}
		lockA, stopA := r.start(t, "a")
		defer stopA()
		r.expect(t, time.Minute, "a")
		_, stopB := r.start(t, "b")
		r.expect(t, time.Second, "a")
		lockA.cutOff(true)
		r.expect(t, times.RenewDeadline+times.RetryPeriod) // before the lease has run out
		r.expect(t, times.LeaseDuration+takeover, "b")
		lockA.cutOff(false)
		r.expect(t, time.Hour, "b")
		stopB()
		r.expect(t, takeover, "a")
		if r.most != 1 || r.runs["a"] != 2 {
			t.Errorf("%d ran concurrently; runs: %v", r.most, r.runs)
		}
	})
}

// The storage is closed after Start returns, so a run that is slow to end must have ended.
func TestLeader_EndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replicas{endsAfter: 3 * time.Second}
		_, stop := r.start(t, "a")
		r.expect(t, time.Minute, "a")
		before := time.Now()
		stop()
		if took := time.Since(before); took != r.endsAfter {
			t.Errorf("Start returned after %s, want %s", took, r.endsAfter)
		}
	})
}

// A replica that is slow to end its run must not start a second one.
func TestLeader_WaitsForItsLastRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replicas{endsAfter: time.Minute}
		lock, stop := r.start(t, "a")
		r.expect(t, time.Second, "a")
		lock.cutOff(true)
		advance(times.RenewDeadline + times.RetryPeriod)
		lock.cutOff(false)
		r.expect(t, 30*time.Second, "a") // the last run, which is stopped
		r.expect(t, time.Minute, "a")
		if r.most != 1 || r.runs["a"] != 2 {
			t.Errorf("%d ran concurrently; runs: %v", r.most, r.runs)
		}
		stop()
	})
}

func TestLeader_EndsBeforeLeading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replicas{}
		_, stopA := r.start(t, "a")
		r.expect(t, 0, "a")
		_, stopB := r.start(t, "b")
		r.expect(t, time.Minute, "a")
		stopB()
		stopA()
		if r.runs["b"] != 0 {
			t.Errorf("b ran %d times", r.runs["b"])
		}
	})
}

// Otherwise it would hold the lease without running anything.
func TestLeader_FailedRunReleasesLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replicas{fails: func(name string) error {
			if name == "a" {
				return errors.New("broken")
			}
			return nil
		}}
		_, stopA := r.start(t, "a")
		defer stopA()
		advance(time.Second)
		_, stopB := r.start(t, "b")
		defer stopB()
		r.expect(t, time.Minute, "b")
	})
}

func TestLeader_InvalidElectionTimes(t *testing.T) {
	leader := NewLeader(leaderelection.LeaderElectionConfig{Lock: &lock{lease: &lease{}, identity: "a"}}, nil)
	if err := leader.Start(t.Context()); err == nil {
		t.Error("it started")
	}
}
