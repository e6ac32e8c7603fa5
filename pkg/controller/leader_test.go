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
)

// times are the defaults of Kubernetes' own components.
var times = ElectionTimes{LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second}

// takeover is how long the next replica takes, at most, to find that a lease was released.
const takeover = 5 * time.Second

// replicas are some Leaders that contend for one lease, and a note of who runs.
type replicas struct {
	lease lease
	// endsAfter is how long a run goes on after it is stopped.
	endsAfter time.Duration
	// fails says what a run fails of at once, if it does.
	fails func(name string) error

	mu      sync.Mutex
	running []string
	most    int
	runs    map[string]int
}

// start starts a replica, and returns its lock and what stops it.
func (r *replicas) start(t *testing.T, name string) (*lock, func()) {
	t.Helper()
	lock := &lock{lease: &r.lease, identity: name}
	leader := NewLeader(lock, times, func(ctx context.Context) error { return r.run(ctx, name) })
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
				t.Errorf("%s runs on after it has ended", name)
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

// expect waits, in time that is not real, and checks who runs then.
func (r *replicas) expect(t *testing.T, after time.Duration, want ...string) {
	t.Helper()
	advance(after)
	synctest.Wait()
	if diff := cmp.Diff(append([]string{}, want...), r.runningNames()); diff != "" {
		t.Errorf("who runs (-want +got):\n%s", diff)
	}
}

func TestWithNoLockThereIsOneReplicaAndItLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ended := &replicas{}, make(chan error)
		ctx, stop := context.WithCancel(t.Context())
		leader := NewLeader(nil, ElectionTimes{}, func(ctx context.Context) error {
			_ = r.run(ctx, "a")
			return errors.New("what came of it")
		})
		go func() { ended <- leader.Start(ctx) }()
		r.expect(t, 0, "a")
		stop()
		if err := <-ended; err == nil || err.Error() != "what came of it" {
			t.Errorf("ended with %v, want what came of it", err)
		}
	})
}

func TestOneReplicaRunsAtATimeAndTheNextOneTakesOver(t *testing.T) {
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
			t.Errorf("%d ran at once, and each so often: %v", r.most, r.runs)
		}
	})
}

// A replica that can't reach the kube-apiserver serves on, and leads again when it may.
func TestAReplicaThatLosesTheLeaseStopsAndMayLeadAgain(t *testing.T) {
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
			t.Errorf("%d ran at once, and each so often: %v", r.most, r.runs)
		}
	})
}

// The storage closes after this. A run that is slow to end must have ended.
func TestAReplicaEndsWhenItsRunHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replicas{endsAfter: 3 * time.Second}
		_, stop := r.start(t, "a")
		r.expect(t, time.Minute, "a")
		before := time.Now()
		stop()
		if took := time.Since(before); took != r.endsAfter {
			t.Errorf("it ended after %s, want %s", took, r.endsAfter)
		}
	})
}

// A replica that is slow to end what it runs is not to begin it a second time.
func TestAReplicaThatLeadsAgainWaitsForItsLastRun(t *testing.T) {
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
			t.Errorf("%d ran at once, and so often: %v", r.most, r.runs)
		}
		stop()
	})
}

func TestAReplicaThatEndsBeforeItLeadsEnds(t *testing.T) {
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

// Nobody else could: a lease that is held by one who does nothing.
func TestAReplicaThatCannotRunMakesWayForAnother(t *testing.T) {
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

func TestElectionTimesThatCannotWorkAreAnError(t *testing.T) {
	leader := NewLeader(&lock{lease: &lease{}, identity: "a"}, ElectionTimes{}, nil)
	if err := leader.Start(t.Context()); err == nil {
		t.Error("it started")
	}
}
