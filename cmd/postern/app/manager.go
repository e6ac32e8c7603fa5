// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"postern.dev/postern/cmd/postern/app/options"
	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/controller"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/etcd"
	"postern.dev/postern/pkg/oidc"
	"postern.dev/postern/pkg/target"
)

// newManager returns a manager whose cache has only the webhook secrets.
func newManager(config *rest.Config, gracefulShutdown time.Duration) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("could not register the Kubernetes types: %w", err)
	}
	configCopy := rest.CopyConfig(config)
	// Events come in bursts, which the pipeline bounds. client-go's default of five per second would delay them.
	configCopy.QPS, configCopy.RateLimiter = -1, nil
	mgr, err := ctrl.NewManager(configCopy, ctrl.Options{
		Scheme: scheme,
		// The API server serves metrics and probes.
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:  "0",
		GracefulShutdownTimeout: &gracefulShutdown,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			// RBAC allows reading only Secrets of this name, so the list must select it.
			&corev1.Secret{}: {Field: fields.OneTermEqualSelector("metadata.name", credential.SecretName)},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("could not create the manager: %w", err)
	}
	return mgr, nil
}

// watchSecrets updates secrets, and the issuers of tokens among them, from the manager's cache until ctx is done. The
// result reports whether all have been processed once.
func watchSecrets(
	ctx context.Context, o *options.Options, mgr manager.Manager, secrets *credential.Secrets,
) (toolscache.InformerSynced, error) {
	dial, _ := o.OIDC.Dial() // the options are valid
	tokens, err := oidc.New(ctx, dial)
	if err != nil {
		return nil, err
	}
	secrets.ParseIssuers = tokens.Parse
	informer, err := mgr.GetCache().GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("could not watch the webhook secrets: %w", err)
	}
	registration, err := informer.AddEventHandler(secrets.EventHandler())
	if err != nil {
		return nil, fmt.Errorf("could not handle changes of the webhook secrets: %w", err)
	}
	return registration.HasSynced, nil
}

// runLeader runs the controllers that run in one replica only. member is the embedded etcd, if any.
func runLeader(
	ctx context.Context, o *options.Options, cert *servingCert, member *etcd.Server, server *apiserver.Server,
	index *controller.RecordIndex, targets *target.Writer, synced toolscache.InformerSynced,
) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		cert.runCAController(ctx) // does not depend on the caches
		return nil
	})
	group.Go(func() error {
		if !toolscache.WaitForCacheSync(ctx.Done(), synced) {
			return nil // never write without complete caches
		}
		return controller.NewRetryController(server.Records().Pending(), server.Deliverer(), o.RetryWindow).Start(ctx)
	})
	group.Go(func() error {
		if !toolscache.WaitForCacheSync(ctx.Done(), synced) {
			return nil
		}
		return controller.NewHoldController(server.Records().Held(), targets, server.Deliverer()).Start(ctx)
	})
	group.Go(func() error { return targets.RefreshAgain(ctx) })
	gc := &controller.GarbageCollector{
		Records: server.Records(), Index: index, Max: int64(o.Limits.MaxDeliveries),
		MaxBytes: o.Limits.MaxDeliveryBytes,
	}
	if member != nil {
		gc.NearQuota = member.NearQuota
	}
	group.Go(func() error { return gc.Start(ctx) })
	return group.Wait()
}

// newLeader returns a runnable that calls run in one replica at a time, or always without leader election.
func newLeader(config *rest.Config, o *options.Options, run func(context.Context) error) (*controller.Leader, error) {
	election := o.LeaderElection
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
