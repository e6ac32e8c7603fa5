// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/controller"
)

// runLeader runs the controllers that run in one replica only.
func (a *app) runLeader(ctx context.Context, server *apiserver.Server, index *controller.RecordIndex,
	synced toolscache.InformerSynced) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		a.managedCerts.runCAController(ctx) // does not depend on the caches
		return nil
	})
	group.Go(func() error {
		if !toolscache.WaitForCacheSync(ctx.Done(), synced) {
			return nil // never write without complete caches
		}
		return controller.NewRetryController(server.Records().Pending(), server.Deliverer(), a.retryWindow).Start(ctx)
	})
	gc := &controller.GarbageCollector{
		Records: server.Records(), Index: index, Max: int64(a.limits.maxDeliveries),
		MaxBytes: a.limits.maxDeliveryBytes,
	}
	if a.member != nil {
		gc.NearQuota = a.member.NearQuota
	}
	group.Go(func() error { return gc.Start(ctx) })
	return group.Wait()
}

// newLeader returns a runnable that calls run in one replica at a time, or always without leader election.
func newLeader(config *rest.Config, o *options, run func(context.Context) error) (*controller.Leader, error) {
	election := o.leaderElection
	if !election.LeaderElect {
		return controller.NewLeader(leaderelection.LeaderElectionConfig{}, run), nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("could not determine an identity for this replica: %w", err)
	}
	// Replicas on the same host need different identities.
	identity := host + "_" + string(uuid.NewUUID())
	lock, err := resourcelock.NewFromKubeconfig(election.ResourceLock, election.ResourceNamespace,
		election.ResourceName,
		resourcelock.ResourceLockConfig{Identity: identity}, config, election.RenewDeadline.Duration)
	if err != nil {
		return nil, fmt.Errorf("could not create the lock of the leader election: %w", err)
	}
	return controller.NewLeader(leaderelection.LeaderElectionConfig{
		Lock:          lock,
		LeaseDuration: election.LeaseDuration.Duration,
		RenewDeadline: election.RenewDeadline.Duration,
		RetryPeriod:   election.RetryPeriod.Duration,
	}, run), nil
}
