// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// ElectionTimes say how long a leader is believed in, for how long it tries to stay one, and how often anybody tries.
type ElectionTimes struct {
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
}

// Leader runs something in one replica at a time. A replica that ceases to lead stops running it, and serves on: whoever
// can't reach the kube-apiserver for a while must not end for it.
type Leader struct {
	lock  resourcelock.Interface
	times ElectionTimes
	run   func(context.Context) error
}

// NewLeader returns a Leader that runs something while it holds a lock; with no lock it always does. What it runs must be
// startable many times, one after the other.
func NewLeader(lock resourcelock.Interface, times ElectionTimes, run func(context.Context) error) *Leader {
	return &Leader{lock: lock, times: times, run: run}
}

// Start takes part in elections until ctx is done, and returns when what it runs has ended. It is a Runnable of
// controller-runtime's manager.
func (l *Leader) Start(ctx context.Context) error {
	if l.lock == nil {
		return l.run(ctx)
	}
	// A LeaderElector starts what is run, but does not wait for its end.
	running := make(chan struct{}, 1)
	resign := func() {}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            l.lock,
		LeaseDuration:   l.times.LeaseDuration,
		RenewDeadline:   l.times.RenewDeadline,
		RetryPeriod:     l.times.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            "postern",
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				running <- struct{}{}
				defer func() { <-running }()
				if ctx.Err() == nil { // or else the term was over before this began
					l.lead(ctx)
					resign() // or nobody could run it
				}
			},
			OnStoppedLeading: func() {
				running <- struct{}{}
				<-running
			},
		},
	})
	if err != nil {
		return fmt.Errorf("could not set up leader election: %w", err)
	}
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		ctx, resign = context.WithCancel(ctx)
		defer resign()
		elector.Run(ctx)
	}, l.times.RetryPeriod)
	return nil
}

// lead runs what there is to run until it is no longer for this replica to do.
func (l *Leader) lead(ctx context.Context) {
	klog.FromContext(ctx).Info("This replica leads")
	if err := l.run(ctx); err != nil {
		klog.FromContext(ctx).Error(err, "Could not run what the leader runs")
	}
	klog.FromContext(ctx).Info("This replica no longer leads")
}

// NeedLeaderElection tells the manager that the election is held here.
func (l *Leader) NeedLeaderElection() bool { return false }
