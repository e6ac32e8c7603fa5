// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/klog/v2"
)

// Leader runs a function in one replica at a time. A replica that loses the election stops it but keeps serving, so
// that an unreachable kube-apiserver does not stop the replica.
type Leader struct {
	election leaderelection.LeaderElectionConfig
	run      func(context.Context) error
}

// NewLeader returns a Leader that runs a function while it holds the lock of an election, or always if there is no
// lock. Of election, the lock and the durations are used. The function is called again after each new election.
func NewLeader(election leaderelection.LeaderElectionConfig, run func(context.Context) error) *Leader {
	return &Leader{election: election, run: run}
}

// Start takes part in elections until ctx is done, and waits for the function to return. It is a Runnable of
// controller-runtime's manager.
func (l *Leader) Start(ctx context.Context) error {
	if l.election.Lock == nil {
		return l.run(ctx)
	}
	// A LeaderElector does not wait for OnStartedLeading to return.
	running := make(chan struct{}, 1)
	resign := func() {}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            l.election.Lock,
		LeaseDuration:   l.election.LeaseDuration,
		RenewDeadline:   l.election.RenewDeadline,
		RetryPeriod:     l.election.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            "postern",
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				running <- struct{}{}
				defer func() { <-running }()
				if ctx.Err() == nil { // otherwise the lease was lost before this began
					l.lead(ctx)
					resign() // otherwise the lock stays held while nothing runs
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
	}, l.election.RetryPeriod)
	return nil
}

// lead runs the function while this replica leads.
func (l *Leader) lead(ctx context.Context) {
	klog.FromContext(ctx).Info("Started leading")
	if err := l.run(ctx); err != nil {
		klog.FromContext(ctx).Error(err, "Could not run the leader's controllers")
	}
	klog.FromContext(ctx).Info("Stopped leading")
}

// NeedLeaderElection returns false, since the Leader runs its own election.
func (l *Leader) NeedLeaderElection() bool { return false }
