// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package app is the program: its command, and how its parts are put together.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"postern.dev/postern/cmd/postern/app/options"
	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/controller"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/etcd"
	"postern.dev/postern/pkg/logrelay"
	"postern.dev/postern/pkg/oidc"
	"postern.dev/postern/pkg/receiver"
	"postern.dev/postern/pkg/servingcert"
	"postern.dev/postern/pkg/startup"
	"postern.dev/postern/pkg/target"
	"postern.dev/postern/pkg/version"
)

// drainTimeout bounds the shutdown: the longest request of the API server, plus time to close its resources.
const drainTimeout = 75 * time.Second

// NewCommand returns the command. It runs until ctx is done. It calls flushLog before the process is replaced.
func NewCommand(ctx context.Context, flushLog func()) *cobra.Command {
	o := options.New()
	cmd := &cobra.Command{
		Use:   "postern",
		Short: "Webhooks through the kube-apiserver",
		Long: "Postern is an aggregated API server. Senders POST their webhooks through the kube-apiserver to a " +
			"webhookdeliveries\n" +
			"subresource; Postern writes the ref that a webhook asks for to GatewaySync and Application objects.",
		Version:      version.Get().String(),
		Args:         cobra.NoArgs,
		SilenceUsage: true, // the list of flags would hide the error
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := logsapi.ValidateAndApply(o.Logging, nil); err != nil {
				return fmt.Errorf("could not set up logging: %w", err)
			}
			if err := errors.Join(o.ReadEnvironment(cmd.Flags(), os.Getenv), o.Validate()); err != nil {
				return err
			}
			return Run(ctx, o, flushLog)
		},
	}
	cmd.SetVersionTemplate("postern {{.Version}}\n")
	flags := o.Flags()
	for _, set := range flags.FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	const wholeLines = 0
	cliflag.SetUsageAndHelpFunc(cmd, flags, wholeLines)
	return cmd
}

// Run serves until ctx is done. It loads all files before anything starts, so that errors in them are reported at once,
// and starts the controller of the serving certificate first, so that the certificate is trusted as early as possible.
// It calls flushLog before the process is replaced.
func Run(ctx context.Context, o *options.Options, flushLog func()) error {
	ctrl.SetLogger(klog.Background())
	klog.InfoS("Starting", "version", version.Get().String())
	version.RegisterMetrics()
	delivery.RegisterMetrics()
	controller.RegisterMetrics()
	filters.RegisterMetrics()
	servingcert.RegisterMetrics()
	logrelay.RegisterMetrics()
	oidc.RegisterMetrics()
	for _, warning := range o.Warnings() {
		klog.InfoS("WARNING: " + warning)
	}
	files, err := loadFiles(o)
	if err != nil {
		return err
	}
	client, err := clientConfig(o)
	if err != nil {
		return err
	}
	cert, err := newServingCert(o, client)
	if err != nil {
		return err
	}
	defer cert.start(ctx)()
	config := startup.Config{
		Serving: o.Recommended.SecureServing.SecureServingOptions, Client: client, FlushLog: flushLog,
	}
	if o.EmbeddedEtcd() {
		config.Etcd = &etcd.Config{DataDir: o.DataDir, QuotaBytes: o.Limits.EtcdQuotaBytes}
	}
	return startup.Run(ctx, config, func(ctx context.Context, dependencies startup.Dependencies) error {
		return serve(ctx, o, files, cert, dependencies)
	})
}

// loadedFiles have been loaded from the paths in the options.
type loadedFiles struct {
	// secrets has the default secrets; the secrets of namespaces are added later.
	secrets  *credential.Secrets
	defaults *credential.DefaultsReloader
	// receiverCerts is nil if the receiver needs none.
	receiverCerts *receiver.Certificates
}

func loadFiles(o *options.Options) (*loadedFiles, error) {
	f := &loadedFiles{secrets: &credential.Secrets{}}
	var secretsErr, certsErr error
	f.defaults, secretsErr = credential.NewDefaultsReloader(o.DefaultSecrets.Source(), f.secrets)
	if o.Receiver.Enabled && !o.Receiver.DisableTLS {
		var config options.ReceiverConfig
		if config, certsErr = o.ReceiverConfig(); certsErr == nil {
			f.receiverCerts, certsErr = receiver.LoadCertificates(config.TLS)
		}
	}
	return f, errors.Join(secretsErr, certsErr)
}

var errRecordsNotLoaded = errors.New("the records of earlier deliveries are not loaded yet")

// serve runs caches, servers and controllers under one manager, which starts and stops them in order, until ctx is
// done. Until the API server starts, the startup server serves on its port: the caches may wait for RBAC permissions
// that an administrator must grant first.
//
//nolint:funlen // the wiring is on one page, to be read from the top to the bottom
func serve(
	ctx context.Context, o *options.Options, files *loadedFiles, cert *servingCert, dependencies startup.Dependencies,
) error {
	storageReady := func() error { return nil } // an external etcd has its own health check
	if member := dependencies.Etcd; member != nil {
		o.Recommended.Etcd.StorageConfig.Transport.ServerList = []string{member.Endpoint()}
		storageReady = member.Ready
	}
	shared := dependencies.Etcd == nil // other replicas may use the same storage and write the same targets

	mutatingPolicies, err := servesMutatingPolicies(ctx, o)
	if err != nil {
		return err
	}
	config, err := genericConfig(o, mutatingPolicies)
	if err != nil {
		return err
	}
	cert.addTo(config)
	mgr, err := newManager(config.ClientConfig, o.ServerRun.ShutdownDelayDuration+drainTimeout)
	if err != nil {
		return err
	}

	// What deliveries read and write: secrets, with the issuers of tokens, and targets.
	secretsSynced, err := watchSecrets(ctx, o, mgr, files.secrets)
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
	work := filters.NewWork(o.Limits.NamespaceSharePercent)
	writer.Shared, writer.Turn = shared, work.ToWrite

	// The API server, with the delivery pipeline.
	index := controller.NewRecordIndex()
	backlog := controller.NewBacklog(index, int64(o.Limits.MaxDeliveries), o.Limits.MaxDeliveryBytes,
		o.Limits.NamespaceSharePercent)
	serverConfig := &apiserver.Config{Generic: config, Extra: apiserver.ExtraConfig{
		Verifier:      credential.NewVerifier(o.Credentials, files.secrets),
		Secrets:       files.secrets,
		Targets:       writer,
		Events:        mgr.GetEventRecorder("postern"),
		SecretsSynced: secretsSynced,
		CachesReady: func() error {
			switch {
			case !secretsSynced():
				return errors.New("the webhook secrets are not in the cache yet")
			case !index.HasSynced():
				return errRecordsNotLoaded
			}
			return targets.Ready()
		},
		BeforeServing: dependencies.HandOver,
		StorageReady: func() error {
			if !index.HasSynced() { // otherwise a delivery could overwrite a newer ref that only a record shows
				return errRecordsNotLoaded
			}
			return storageReady()
		},
		Backlog:                 backlog.Check,
		Work:                    work,
		RefreshesPerSecond:      o.Limits.ArgoCDRefreshesPerSecond,
		NamespaceSharePercent:   o.Limits.NamespaceSharePercent,
		Shared:                  shared,
		DeliveryTTL:             o.DeliveryTTL,
		MaxPayloadBytes:         o.MaxPayloadBytes,
		MaxInflightPayloadBytes: o.Limits.MaxInflightPayloadBytes,
		PayloadTimeout:          o.Limits.PayloadTimeout,
		Direct: apiserver.DirectCallers{
			Allow:             o.AllowDirect,
			RequestsPerSecond: o.Limits.DirectRequestsPerSecond,
			OpenPaths:         o.Recommended.Authorization.AlwaysAllowPaths,
		},
	}}
	server, err := serverConfig.Complete().New()
	if err != nil {
		return err
	}

	// Background work, some of it in the leader only.
	index.SetSource(server.Records().All(), server.Deliverer().HandleRecord)
	// A retry needs the secrets to know which targets accept it, and the history so as not to overwrite newer refs.
	synced := func() bool { return secretsSynced() && index.HasSynced() }
	leader, err := newLeader(config.ClientConfig, o, func(ctx context.Context) error {
		return runLeader(ctx, o, cert, dependencies.Etcd, server, index, writer, synced)
	})
	if err != nil {
		return err
	}

	var runnables []manager.Runnable
	if o.Receiver.Enabled {
		receiverServer, err := newReceiver(o, files.receiverCerts, server, serverConfig.Extra, targets)
		if err != nil {
			return err
		}
		// The receiver starts before the server, which waits for it to stop: after a stop the manager starts nothing.
		runnables = append(runnables, receiverServer)
	}
	runnables = append(runnables, targets, server, index, leader, files.defaults)
	for _, runnable := range runnables {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("could not add a runnable to the manager: %w", err)
		}
	}
	return mgr.Start(ctx)
}
