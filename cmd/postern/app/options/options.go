// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package options has the flags of postern, their environment variables and their validation.
package options

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	cliflag "k8s.io/component-base/cli/flag"
	componentbaseconfig "k8s.io/component-base/config"
	componentbaseoptions "k8s.io/component-base/config/options"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/credential"
)

const (
	// storagePrefix is the prefix of the deliveries in etcd, which may be shared.
	storagePrefix = "/registry/postern.dev"

	// watchTerminationPeriod bounds how long open watches delay the shutdown.
	watchTerminationPeriod = 10 * time.Second

	minPayloadBytes, maxPayloadBytes = 1 << 10, 25 << 20
)

// Options are the values of all flags.
type Options struct {
	Logging     *logsapi.LoggingConfiguration
	Recommended *genericoptions.RecommendedOptions
	// ServerRun has flags only for the limits of requests in flight and the shutdown delay.
	ServerRun *genericoptions.ServerRunOptions

	DataDir         string
	DeliveryTTL     time.Duration
	RetryWindow     time.Duration
	MaxPayloadBytes int64
	Limits          Limits
	OIDC            OIDC
	Credentials     credential.Config
	AllowDirect     bool
	LeaderElection  componentbaseconfig.LeaderElectionConfiguration
	ServingCert     ServingCert
	Receiver        Receiver
	DefaultSecrets  DefaultSecrets
	explicit        explicitSettings
}

// New returns the defaults.
func New() *Options {
	namespace := ownNamespace()
	recommended := genericoptions.NewRecommendedOptions(storagePrefix, apiserver.StorageCodec())
	recommended.Etcd.StorageConfig.EncodeVersioner = v1alpha1.SchemeGroupVersion
	recommended.SecureServing.BindPort = 8443
	// The kube-apiserver shares one HTTP/2 connection among all callers. With HTTP/1.1 they can't disturb each other.
	recommended.SecureServing.DisableHTTP2Serving = true
	// The kube-apiserver has already applied priority and fairness.
	recommended.Features.EnablePriorityAndFairness = false
	recommended.EgressSelector = nil

	// Its limits of requests in flight are the kube-apiserver's, which passes on no more.
	serverRun := genericoptions.NewServerRunOptions()
	// Otherwise shutdown waits up to a minute for open watches (the garbage collector watches every resource).
	serverRun.ShutdownWatchTerminationGracePeriod = watchTerminationPeriod

	return &Options{
		Logging:         logs.NewOptions(),
		Recommended:     recommended,
		ServerRun:       serverRun,
		DataDir:         "/var/lib/postern",
		DeliveryTTL:     72 * time.Hour,
		RetryWindow:     time.Hour,
		MaxPayloadBytes: 1 << 20,
		Limits:          newLimits(),
		ServingCert:     newServingCert(namespace),
		Receiver:        newReceiver(),
		OIDC:            newOIDC(),
		DefaultSecrets:  newDefaultSecrets(),
		Credentials:     credential.Config{IdentityIsCredential: true, RequireSecret: true},
		LeaderElection: componentbaseconfig.LeaderElectionConfiguration{
			ResourceLock:      resourcelock.LeasesResourceLock,
			ResourceName:      "postern",
			ResourceNamespace: namespace,
			// The same as in kube-controller-manager.
			LeaseDuration: metav1.Duration{Duration: 15 * time.Second},
			RenewDeadline: metav1.Duration{Duration: 10 * time.Second},
			RetryPeriod:   metav1.Duration{Duration: 2 * time.Second},
		},
	}
}

// Flags returns the flags by topic.
func (o *Options) Flags() cliflag.NamedFlagSets {
	var sets cliflag.NamedFlagSets

	fs := sets.FlagSet("deliveries")
	fs.Int64Var(&o.MaxPayloadBytes, "max-payload-bytes", o.MaxPayloadBytes,
		fmt.Sprintf("The maximum size of a payload, in bytes, from %d to %d.", minPayloadBytes, maxPayloadBytes))
	fs.DurationVar(&o.DeliveryTTL, "delivery-ttl", o.DeliveryTTL, "How long deliveries are kept.")
	fs.DurationVar(&o.RetryWindow, "retry-window", o.RetryWindow,
		"How long after it was received a delivery whose target can't be written is retried before it fails.")
	fs.BoolVar(&o.Credentials.IdentityIsCredential, "identity-is-credential", o.Credentials.IdentityIsCredential,
		"Accept callers that the cluster has authenticated and authorized, without a webhook secret.")
	fs.BoolVar(&o.Credentials.RequireSecret, "webhook-require-secret", o.Credentials.RequireSecret,
		"Refuse anonymous deliveries for which no secret is configured. If false, every caller that RBAC allows to "+
			"deliver is accepted, and with --enable-webhook every client that reaches the receiver.")
	fs.BoolVar(&o.AllowDirect, "allow-direct-callers", o.AllowDirect,
		"Also serve the API to callers that reach this server without the kube-apiserver. Each of their requests "+
			"takes a TokenReview and a SubjectAccessReview, bounded by --direct-requests-per-second. If false, they "+
			"are answered 403.")

	fs = sets.FlagSet("storage")
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir,
		"Directory of the embedded etcd, which runs if --etcd-servers is empty. Only one process at a time may use it.")
	o.Recommended.Etcd.AddFlags(fs)

	fs = sets.FlagSet("serving")
	o.Recommended.SecureServing.AddFlags(fs)
	fs.DurationVar(&o.ServerRun.ShutdownDelayDuration, "shutdown-delay-duration", o.ServerRun.ShutdownDelayDuration,
		"How long to continue serving after a signal to stop, with /readyz failing, so that clients notice.")

	componentbaseoptions.BindLeaderElectionFlags(&o.LeaderElection, sets.FlagSet("leader election"))
	sets.FlagSet("leader election").Lookup("leader-elect").Usage =
		"Elect one replica to retry pending deliveries. Required with several replicas, which need --etcd-servers."
	o.Limits.addFlags(&sets, o.ServerRun)
	o.ServingCert.addFlags(&sets)
	o.Receiver.addFlags(&sets)
	o.DefaultSecrets.addFlags(&sets)
	o.OIDC.addFlags(&sets)
	o.Recommended.Authentication.AddFlags(sets.FlagSet("authentication"))
	o.Recommended.Authorization.AddFlags(sets.FlagSet("authorization"))
	o.Recommended.Admission.AddFlags(sets.FlagSet("admission"))
	o.Recommended.Audit.AddFlags(sets.FlagSet("audit"))
	o.Recommended.Features.AddFlags(sets.FlagSet("features"))
	o.Recommended.CoreAPI.AddFlags(sets.FlagSet("kubernetes"))
	o.Recommended.Traces.AddFlags(sets.FlagSet("tracing"))
	logsapi.AddFlags(o.Logging, sets.FlagSet("logging"))
	// cobra handles these two. They are added here only to list them with the others.
	sets.FlagSet("general").BoolP("help", "h", false, "Print the flags and exit.")
	sets.FlagSet("general").Bool("version", false, "Print the version and exit.")
	addEnvToUsage(&sets)
	return sets
}

// ReadEnvironment sets options that the parsed flags do not set from environment variables.
func (o *Options) ReadEnvironment(flags *pflag.FlagSet, lookup func(string) string) (err error) {
	o.explicit, err = readEnvironment(flags, lookup)
	o.DefaultSecrets.readEnvironment(lookup)
	return err
}

// EmbeddedEtcd reports whether this process runs its own etcd. Call it before etcd sets its address in the options.
func (o *Options) EmbeddedEtcd() bool {
	return len(o.Recommended.Etcd.StorageConfig.Transport.ServerList) == 0
}

// Validate returns all errors of the flags at once.
func (o *Options) Validate() error {
	errs := []error{within("--max-payload-bytes", o.MaxPayloadBytes, minPayloadBytes, maxPayloadBytes)}
	if o.DeliveryTTL < time.Minute {
		errs = append(errs, fmt.Errorf("--delivery-ttl is %s: it must be at least 1m", o.DeliveryTTL))
	}
	switch {
	case o.RetryWindow < 0:
		errs = append(errs, fmt.Errorf("--retry-window is %s: it must not be negative", o.RetryWindow))
	case o.RetryWindow > o.DeliveryTTL:
		errs = append(errs,
			fmt.Errorf("--retry-window is %s: it must not be longer than --delivery-ttl, %s: a delivery would be "+
				"deleted before it fails",
				o.RetryWindow, o.DeliveryTTL))
	}
	if o.LeaderElection.LeaderElect {
		errs = append(errs, o.validateLeaderElection()...)
	}
	if o.ServerRun.ShutdownDelayDuration < 0 {
		errs = append(errs, fmt.Errorf("--shutdown-delay-duration is %s: it must not be negative",
			o.ServerRun.ShutdownDelayDuration))
	}
	if o.EmbeddedEtcd() && o.DataDir == "" {
		errs = append(errs, errors.New("--data-dir is empty: give it, or --etcd-servers"))
	}
	errs = append(errs, o.validateServingCert()...)
	errs = append(errs, o.Limits.validate(o.MaxPayloadBytes, o.ServerRun)...)
	errs = append(errs, o.validateReceiver()...)
	_, oidcErrs := o.OIDC.Dial()
	errs = append(errs, oidcErrs...)
	return errors.Join(append(errs, o.validateRecommended()...)...)
}

// Warnings returns the settings that weaken security or have no effect. The options must be valid.
func (o *Options) Warnings() []string {
	var warnings []string
	if !o.Credentials.RequireSecret {
		warning := "--webhook-require-secret=false: where no secret is configured, every caller that RBAC allows to " +
			"deliver is accepted"
		if o.Receiver.Enabled {
			warning += "; the classic receiver (--enable-webhook) has no RBAC and accepts every client that reaches " +
				"its port, for the namespaces of --webhook-namespaces"
		}
		warnings = append(warnings, warning)
	}
	return append(warnings, o.Receiver.warnings(o.explicit)...)
}

func (o *Options) validateLeaderElection() []error {
	if o.EmbeddedEtcd() {
		return []error{errors.New("--leader-elect is for several replicas, and the embedded etcd can serve only one: " +
			"give --etcd-servers, or omit --leader-elect")}
	}
	e := o.LeaderElection
	if e.RetryPeriod.Duration <= 0 || e.RenewDeadline.Duration <= e.RetryPeriod.Duration*2 ||
		e.LeaseDuration.Duration <= e.RenewDeadline.Duration {
		return []error{fmt.Errorf("--leader-elect-lease-duration (%s) must be longer than "+
			"--leader-elect-renew-deadline (%s), and that more than twice --leader-elect-retry-period (%s)",
			e.LeaseDuration.Duration, e.RenewDeadline.Duration, e.RetryPeriod.Duration)}
	}
	if e.ResourceLock != resourcelock.LeasesResourceLock || e.ResourceName == "" || e.ResourceNamespace == "" {
		return []error{errors.New("--leader-elect-resource-lock must be leases, and --leader-elect-resource-name and " +
			"--leader-elect-resource-namespace must not be empty")}
	}
	return nil
}

// validateRecommended validates the framework's options, with an address for the embedded etcd, which has none yet.
func (o *Options) validateRecommended() []error {
	recommended := *o.Recommended
	if o.EmbeddedEtcd() {
		etcd := *recommended.Etcd
		etcd.StorageConfig.Transport.ServerList = []string{"unix://" + o.DataDir}
		recommended.Etcd = &etcd
	}
	return recommended.Validate()
}
