// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

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

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/credential"
)

const (
	// storagePrefix is the prefix of the deliveries in etcd, which may be shared.
	storagePrefix = "/registry/postern.dev"

	minPayloadBytes, maxPayloadBytes = 1 << 10, 25 << 20
)

// options are the values of all flags.
type options struct {
	logging     *logsapi.LoggingConfiguration
	recommended *genericoptions.RecommendedOptions

	dataDir         string
	deliveryTTL     time.Duration
	retryWindow     time.Duration
	maxPayloadBytes int64
	limits          limits
	credentials     credential.Config
	allowDirect     bool
	shutdownDelay   time.Duration
	leaderElection  componentbaseconfig.LeaderElectionConfiguration
	certificates    certificates
	webhook         webhook
	defaultSecrets  defaultSecrets
	explicit        explicitSettings
}

func newOptions() *options {
	namespace := ownNamespace()
	recommended := genericoptions.NewRecommendedOptions(storagePrefix, apiserver.StorageCodec())
	recommended.Etcd.StorageConfig.EncodeVersioner = v1alpha1.SchemeGroupVersion
	// Deletion requires this value; see validate.
	recommended.Etcd.EnableGarbageCollection = false
	recommended.SecureServing.BindPort = 8443
	// The kube-apiserver shares one HTTP/2 connection among all callers. With HTTP/1.1 they can't disturb each other.
	recommended.SecureServing.DisableHTTP2Serving = true
	// The kube-apiserver has already applied priority and fairness.
	recommended.Features.EnablePriorityAndFairness = false
	recommended.EgressSelector = nil

	return &options{
		logging:         logs.NewOptions(),
		recommended:     recommended,
		dataDir:         "/var/lib/postern",
		deliveryTTL:     72 * time.Hour,
		retryWindow:     time.Hour,
		maxPayloadBytes: 1 << 20,
		limits:          newLimits(),
		certificates:    newCertificates(namespace),
		webhook:         newWebhook(),
		defaultSecrets:  newDefaultSecrets(),
		credentials:     credential.Config{IdentityIsCredential: true, RequireSecret: true},
		leaderElection: componentbaseconfig.LeaderElectionConfiguration{
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

func (o *options) flags() cliflag.NamedFlagSets {
	var sets cliflag.NamedFlagSets

	fs := sets.FlagSet("deliveries")
	fs.Int64Var(&o.maxPayloadBytes, "max-payload-bytes", o.maxPayloadBytes,
		fmt.Sprintf("The maximum size of a payload, in bytes, from %d to %d.", minPayloadBytes, maxPayloadBytes))
	fs.DurationVar(&o.deliveryTTL, "delivery-ttl", o.deliveryTTL, "How long deliveries are kept.")
	fs.DurationVar(&o.retryWindow, "retry-window", o.retryWindow,
		"How long after it was received a delivery whose target can't be written is retried before it fails.")
	fs.BoolVar(&o.credentials.IdentityIsCredential, "identity-is-credential", o.credentials.IdentityIsCredential,
		"Accept callers that the cluster has authenticated and authorized, without a webhook secret.")
	fs.BoolVar(&o.credentials.RequireSecret, "webhook-require-secret", o.credentials.RequireSecret,
		"Refuse anonymous deliveries for which no secret is configured. If false, every caller that RBAC allows to "+
			"deliver is accepted, and with --enable-webhook every client that reaches the receiver.")
	fs.BoolVar(&o.allowDirect, "allow-direct-callers", o.allowDirect,
		"Also serve the API to callers that reach this server without the kube-apiserver. Each of their requests "+
			"takes a TokenReview and a SubjectAccessReview, bounded by --direct-requests-per-second. If false, they "+
			"are answered 403.")

	fs = sets.FlagSet("storage")
	fs.StringVar(&o.dataDir, "data-dir", o.dataDir,
		"Directory of the embedded etcd, which runs if --etcd-servers is empty. Only one process at a time may use it.")
	o.recommended.Etcd.AddFlags(fs)

	fs = sets.FlagSet("serving")
	o.recommended.SecureServing.AddFlags(fs)
	fs.DurationVar(&o.shutdownDelay, "shutdown-delay-duration", o.shutdownDelay,
		"How long to continue serving after a signal to stop, with /readyz failing, so that clients notice.")

	componentbaseoptions.BindLeaderElectionFlags(&o.leaderElection, sets.FlagSet("leader election"))
	sets.FlagSet("leader election").Lookup("leader-elect").Usage =
		"Elect one replica to retry pending deliveries. Required with several replicas, which need --etcd-servers."
	o.limits.addFlags(&sets)
	o.certificates.addFlags(&sets)
	o.webhook.addFlags(&sets)
	o.defaultSecrets.addFlags(&sets)
	o.recommended.Authentication.AddFlags(sets.FlagSet("authentication"))
	o.recommended.Authorization.AddFlags(sets.FlagSet("authorization"))
	o.recommended.Admission.AddFlags(sets.FlagSet("admission"))
	o.recommended.Audit.AddFlags(sets.FlagSet("audit"))
	o.recommended.Features.AddFlags(sets.FlagSet("features"))
	o.recommended.CoreAPI.AddFlags(sets.FlagSet("kubernetes"))
	o.recommended.Traces.AddFlags(sets.FlagSet("tracing"))
	logsapi.AddFlags(o.logging, sets.FlagSet("logging"))
	// cobra handles these two. They are added here only to list them with the others.
	sets.FlagSet("general").BoolP("help", "h", false, "Print the flags and exit.")
	sets.FlagSet("general").Bool("version", false, "Print the version and exit.")
	addEnvToUsage(&sets)
	return sets
}

// readEnvironment sets options that the parsed flags do not set from environment variables.
func (o *options) readEnvironment(flags *pflag.FlagSet, lookup func(string) string) (err error) {
	o.explicit, err = readEnvironment(flags, lookup)
	o.defaultSecrets.readEnvironment(lookup)
	return err
}

// embeddedEtcd reports whether this process runs its own etcd. Call it before etcd sets its address in the options.
func (o *options) embeddedEtcd() bool {
	return len(o.recommended.Etcd.StorageConfig.Transport.ServerList) == 0
}

// validate returns all errors of the flags at once.
func (o *options) validate() error {
	var errs []error
	if o.maxPayloadBytes < minPayloadBytes || o.maxPayloadBytes > maxPayloadBytes {
		errs = append(errs, fmt.Errorf("--max-payload-bytes is %d: it must be from %d to %d", o.maxPayloadBytes,
			minPayloadBytes, maxPayloadBytes))
	}
	if o.deliveryTTL < time.Minute {
		errs = append(errs, fmt.Errorf("--delivery-ttl is %s: it must be at least 1m", o.deliveryTTL))
	}
	switch {
	case o.retryWindow < 0:
		errs = append(errs, fmt.Errorf("--retry-window is %s: it must not be negative", o.retryWindow))
	case o.retryWindow > o.deliveryTTL:
		errs = append(errs,
			fmt.Errorf("--retry-window is %s: it must not be longer than --delivery-ttl, %s: a delivery would be "+
				"deleted before it fails",
				o.retryWindow, o.deliveryTTL))
	}
	if o.leaderElection.LeaderElect {
		errs = append(errs, o.validateLeaderElection()...)
	}
	if o.shutdownDelay < 0 {
		errs = append(errs, fmt.Errorf("--shutdown-delay-duration is %s: it must not be negative", o.shutdownDelay))
	}
	if o.embeddedEtcd() && o.dataDir == "" {
		errs = append(errs, errors.New("--data-dir is empty: give it, or --etcd-servers"))
	}
	if o.recommended.Etcd.EnableGarbageCollection {
		errs = append(errs,
			errors.New("--enable-garbage-collector must be false: deliveries can't be updated, so the collector "+
				"could not remove its finalizers"))
	}
	errs = append(errs, o.validateCertificates()...)
	errs = append(errs, o.limits.validate(o.maxPayloadBytes)...)
	errs = append(errs, o.webhook.validate(o.explicit, o.recommended.SecureServing.BindPort)...)
	return errors.Join(append(errs, o.validateRecommended()...)...)
}

// warnings returns the settings that weaken security or have no effect. The options must be valid.
func (o *options) warnings() []string {
	var warnings []string
	if !o.credentials.RequireSecret {
		warning := "--webhook-require-secret=false: where no secret is configured, every caller that RBAC allows to " +
			"deliver is accepted"
		if o.webhook.enabled {
			warning += "; the classic receiver (--enable-webhook) has no RBAC and accepts every client that reaches " +
				"its port, for the namespaces of --webhook-namespaces"
		}
		warnings = append(warnings, warning)
	}
	return append(warnings, o.webhook.warnings(o.explicit)...)
}

func (o *options) validateLeaderElection() []error {
	if o.embeddedEtcd() {
		return []error{errors.New("--leader-elect is for several replicas, and the embedded etcd can serve only one: " +
			"give --etcd-servers, or omit --leader-elect")}
	}
	e := o.leaderElection
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
func (o *options) validateRecommended() []error {
	recommended := *o.recommended
	if o.embeddedEtcd() {
		etcd := *recommended.Etcd
		etcd.StorageConfig.Transport.ServerList = []string{"unix://" + o.dataDir}
		recommended.Etcd = &etcd
	}
	return recommended.Validate()
}
