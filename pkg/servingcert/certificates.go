// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// resyncInterval is how often the controllers sync without a change. A sync is cheap, and polling, unlike timers, is
// not affected by clock changes and suspended machines.
const resyncInterval = 2 * time.Second

// Config configures the certificates. Every field is required.
type Config struct {
	// Client configures a client with the permissions of Postern's ServiceAccount.
	Client *rest.Config
	// Service is Postern's Service. The Secret is in its namespace.
	Service Service
	// SecretName is the Secret with the certificate authority, and APIServiceName the APIService that trusts it.
	SecretName, APIServiceName string
	// CAValidity and LeafValidity are the lifetimes of certificates.
	CAValidity, LeafValidity time.Duration
}

// New returns the controllers of Postern's own certificates. Every replica runs the ServingController, and one replica
// at a time runs the CAController. New does not contact the kube-apiserver.
func New(config Config) (*ServingController, *CAController, error) {
	kube, err := kubernetes.NewForConfig(config.Client)
	if err != nil {
		return nil, nil, fmt.Errorf("could not create a client: %w", err)
	}
	registration, err := aggregator.NewForConfig(config.Client)
	if err != nil {
		return nil, nil, fmt.Errorf("could not create a client for APIServices: %w", err)
	}
	serving, err := newServing(config.Service)
	if err != nil {
		return nil, nil, err
	}
	servingTrigger, caTrigger := newTrigger(), newTrigger()
	informers, err := newInformers(kube, registration, config.Service, config.SecretName, config.APIServiceName,
		func() {
			servingTrigger.notify()
			caTrigger.notify()
		})
	if err != nil {
		return nil, nil, err
	}
	policy := policy{service: config.Service, caValidity: config.CAValidity, leafValidity: config.LeafValidity}
	servingController := &ServingController{Serving: serving, policy: policy, informers: informers,
		trigger: servingTrigger, now: time.Now}
	caController := &CAController{
		serving: serving, policy: policy, informers: informers, trigger: caTrigger, now: time.Now,
		secretName: config.SecretName, secrets: kube.CoreV1().Secrets(config.Service.Namespace),
		apiServices: registration.ApiregistrationV1().APIServices(),
		limiter:     rate.NewLimiter(rate.Every(time.Second), writeBurst),
	}
	return servingController, caController, nil
}

// trigger wakes one loop. It coalesces notifications: at most one is pending.
type trigger chan struct{}

func newTrigger() trigger { return make(trigger, 1) }

func (t trigger) notify() {
	select {
	case t <- struct{}{}:
	default:
	}
}

// runLoop calls sync at once, after each notification and every resyncInterval, until ctx is done.
func runLoop(ctx context.Context, changed trigger, sync func(context.Context)) {
	ticker := time.NewTicker(resyncInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		sync(ctx)
		select {
		case <-changed:
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// Service is the name of Postern's Service.
type Service struct {
	Namespace, Name string
}

// ServerName returns the name that the kube-apiserver verifies in the certificate of an aggregated API server.
//
// Source: BuildTransportConfig in k8s.io/kube-aggregator, pkg/controllers/status/remote/remote_available_controller.go.
func (s Service) ServerName() string { return s.Name + "." + s.Namespace + ".svc" }

// dnsNames returns the names in a leaf: ServerName, the name that Pods use in most clusters, and localhost.
func (s Service) dnsNames() []string {
	return []string{s.ServerName(), s.ServerName() + ".cluster.local", "localhost"}
}

const (
	// DefaultCAValidity is the lifetime of a certificate authority. Renewal needs no action, so the authority need not
	// outlast the cluster: a stolen key expires within a year, and renewal is exercised regularly. It is long enough
	// for a cluster that is off for months.
	DefaultCAValidity = 365 * 24 * time.Hour

	// DefaultLeafValidity is the lifetime of a serving certificate. It can be short, because each replica renews its
	// own leaf. A replaced authority stays trusted for the same time.
	DefaultLeafValidity = 24 * time.Hour

	// maxBackdate is the clock difference allowed between replicas and the kube-apiserver.
	maxBackdate = 5 * time.Minute
)
