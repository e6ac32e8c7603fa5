// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/certificate"
	"postern.dev/postern/pkg/controller"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/etcd"
	"postern.dev/postern/pkg/target"
	"postern.dev/postern/pkg/version"
)

// drainTimeout bounds the end: the longest request of the API server, and some time to close what it used.
const drainTimeout = 75 * time.Second

// run serves until ctx is done. The certificates are followed from the beginning, so that whatever is answered on the port
// is trusted as early as can be.
func run(ctx context.Context, o *options) error {
	ctrl.SetLogger(klog.Background())
	klog.InfoS("Starting", "version", version.Get().String())
	version.RegisterMetrics()
	delivery.RegisterMetrics()
	controller.RegisterMetrics()
	apiserver.RegisterMetrics()
	certificate.RegisterMetrics()
	if !o.credentials.RequireSecret {
		klog.InfoS("WARNING: --webhook-require-secret=false: where no secret is configured, anyone whom RBAC lets deliver can do so")
	}
	for _, warning := range o.webhook.warnings(o.given) {
		klog.InfoS("WARNING: " + warning)
	}
	files, err := readFiles(o)
	if err != nil {
		return err
	}
	own := &ownCertificates{}
	if o.ownCertificates() {
		if own, err = newOwnCertificates(o); err != nil {
			return err
		}
		defer own.follow(ctx)()
	}
	err = serveFromStorage(ctx, o, own, files)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil { // a signal came before there was anything to end
		return nil
	}
	return err
}

// serveFromStorage serves until ctx is done. The embedded etcd, if there is one, starts first and ends last, since
// everything else stands on it.
func serveFromStorage(ctx context.Context, o *options, own *ownCertificates, files *files) error {
	hold := &holder{options: o}
	defer hold.release()
	if !o.embeddedEtcd() {
		return serve(ctx, o, nil, hold, own, files)
	}
	etcd.RegisterMetrics()
	member, err := openStorage(ctx, o, hold)
	if err != nil {
		return err
	}
	defer member.Close()
	o.recommended.Etcd.StorageConfig.Transport.ServerList = []string{member.Endpoint()}

	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		if untilMended(serving, member) {
			stop(errStartAnew)
		}
	}()
	err = serve(serving, o, member, hold, own, files)
	if cause := context.Cause(serving); errors.Is(cause, errStartAnew) && (err == nil || errors.Is(err, context.Canceled)) {
		return cause
	}
	return err
}

// serve runs caches and API server under one manager, which starts and stops them in order. The member is the embedded
// etcd, if there is one. The port is held until the kube-apiserver answers.
func serve(ctx context.Context, o *options, member *etcd.Server, hold *holder, own *ownCertificates, files *files) error {
	if err := awaitKubernetes(ctx, o, hold); err != nil {
		return err
	}
	hold.release()
	config, err := genericConfig(o)
	if err != nil {
		return err
	}
	own.addTo(config)
	mgr, err := newManager(config.ClientConfig, o.shutdownDelay+drainTimeout)
	if err != nil {
		return err
	}
	secretsSynced, err := follow(ctx, mgr, files.secrets)
	if err != nil {
		return err
	}
	targets, err := target.NewCache(config.ClientConfig)
	if err != nil {
		return err
	}
	writer, err := target.NewWriter(config.ClientConfig, targets)
	if err != nil {
		return err
	}
	storageReady := func() error { return nil }
	if member != nil {
		storageReady = member.Ready
	}
	backlog := &controller.Backlog{Max: o.limits.maxDeliveries}
	serverConfig := &apiserver.Config{Generic: config, Extra: apiserver.ExtraConfig{
		Verifier:      credential.NewVerifier(o.credentials, files.secrets),
		Secrets:       files.secrets,
		Targets:       writer,
		Events:        mgr.GetEventRecorder("postern"),
		SecretsSynced: secretsSynced,
		CachesReady: func() error {
			if !secretsSynced() {
				return errors.New("the secrets are not in the cache yet")
			}
			return targets.Ready()
		},
		StorageReady:            storageReady,
		Backlog:                 backlog.Full,
		DeliveryTTL:             o.deliveryTTL,
		MaxPayloadBytes:         o.maxPayloadBytes,
		MaxInflightPayloadBytes: o.limits.maxInflightPayloadBytes,
		PayloadTimeout:          o.limits.payloadTimeout,
	}}
	server, err := serverConfig.Complete().New()
	if err != nil {
		return err
	}
	backlog.Records = server.Records()
	leader, err := newLeader(config.ClientConfig, o, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		var certificates sync.WaitGroup // which wait for nothing else
		certificates.Go(func() { own.keep(ctx) })
		defer certificates.Wait()
		defer cancel()
		if !toolscache.WaitForCacheSync(ctx.Done(), secretsSynced) {
			return nil // whose secret counts is not known, so nothing may be written
		}
		return lead(ctx, server, member, o)
	})
	if err != nil {
		return err
	}
	runnables := []manager.Runnable{targets, server, backlog, leader, files.defaults}
	if o.webhook.enabled {
		classic, err := newReceiver(o, files.certificates, server, serverConfig.Extra, targets)
		if err != nil {
			return err
		}
		runnables = append(runnables, classic)
	}
	for _, runnable := range runnables {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("could not add to the manager: %w", err)
		}
	}
	return mgr.Start(ctx)
}

// lead runs what one replica does for all.
func lead(ctx context.Context, server *apiserver.Server, member *etcd.Server, o *options) error {
	retry, err := controller.NewRetry(server.Records().Pending(), server.Deliverer(), o.retryWindow, time.Now)
	if err != nil {
		return err
	}
	recordCap := &controller.RecordCap{Records: server.Records(), Max: o.limits.maxDeliveries}
	if member != nil {
		recordCap.Crowded = member.Crowded
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return retry.Start(ctx) })
	group.Go(func() error { return recordCap.Start(ctx) })
	return group.Wait()
}

// newLeader returns what runs something in one replica at a time. With leader election off this is the only one.
func newLeader(config *rest.Config, o *options, run func(context.Context) error) (*controller.Leader, error) {
	election := o.leaderElection
	times := controller.ElectionTimes{
		LeaseDuration: election.LeaseDuration.Duration,
		RenewDeadline: election.RenewDeadline.Duration,
		RetryPeriod:   election.RetryPeriod.Duration,
	}
	if !election.LeaderElect {
		return controller.NewLeader(nil, times, run), nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("could not find a name for this replica: %w", err)
	}
	// Two replicas on one host must differ, too.
	identity := host + "_" + string(uuid.NewUUID())
	lock, err := resourcelock.NewFromKubeconfig(election.ResourceLock, election.ResourceNamespace, election.ResourceName,
		resourcelock.ResourceLockConfig{Identity: identity}, config, election.RenewDeadline.Duration)
	if err != nil {
		return nil, fmt.Errorf("could not make the lock of the leader election: %w", err)
	}
	return controller.NewLeader(lock, times, run), nil
}

// newManager returns a manager whose cache holds the webhook secrets and nothing else.
func newManager(config *rest.Config, gracefulShutdown time.Duration) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("could not register the Kubernetes types: %w", err)
	}
	ours := rest.CopyConfig(config)
	// Events come in bursts, which the pipeline bounds. At client-go's own five requests a second they would come late.
	ours.QPS, ours.RateLimiter = -1, nil
	mgr, err := ctrl.NewManager(ours, ctrl.Options{
		Scheme: scheme,
		// The API server serves metrics and probes.
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:  "0",
		GracefulShutdownTimeout: &gracefulShutdown,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			// RBAC lets us read Secrets of this one name only, so the list must ask for no other.
			&corev1.Secret{}: {Field: fields.OneTermEqualSelector("metadata.name", credential.SecretName)},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("could not make the manager: %w", err)
	}
	return mgr, nil
}

// follow feeds the secrets from the manager's cache, and returns whether all of them have been fed.
func follow(ctx context.Context, mgr manager.Manager, secrets *credential.Secrets) (toolscache.InformerSynced, error) {
	informer, err := mgr.GetCache().GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("could not watch the webhook secrets: %w", err)
	}
	registration, err := informer.AddEventHandler(secrets.EventHandler())
	if err != nil {
		return nil, fmt.Errorf("could not follow the webhook secrets: %w", err)
	}
	return registration.HasSynced, nil
}
