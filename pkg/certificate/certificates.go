// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// resyncInterval is how often a replica looks whether something is to be done, if nothing has changed. Looking is cheap,
// and so there is no timer that a clock which is set, or a machine that slept, could put wrong.
const resyncInterval = 2 * time.Second

// Config says whose certificates there are to be. Every field is needed.
type Config struct {
	// Client is asked as the ServiceAccount of Postern.
	Client *rest.Config
	// Service leads to Postern. The Secret is in its namespace.
	Service Service
	// SecretName is the Secret that holds the certificate authority, and APIServiceName what is to trust it.
	SecretName, APIServiceName string
	// CAValidity and LeafValidity are how long certificates are valid.
	CAValidity, LeafValidity time.Duration
}

// New returns the two that see to Postern's own certificates: the Follower, which every replica runs, and the Keeper, which
// one replica at a time runs. It asks nobody yet.
func New(config Config) (*ServingController, *CAController, error) {
	kube, err := kubernetes.NewForConfig(config.Client)
	if err != nil {
		return nil, nil, fmt.Errorf("could not make a client: %w", err)
	}
	registration, err := aggregator.NewForConfig(config.Client)
	if err != nil {
		return nil, nil, fmt.Errorf("could not make a client for APIServices: %w", err)
	}
	serving, err := newServing(config.Service)
	if err != nil {
		return nil, nil, err
	}
	servingTrigger, caTrigger := newTrigger(), newTrigger()
	informers, err := newInformers(kube, registration, config.Service, config.SecretName, config.APIServiceName, func() {
		servingTrigger.notify()
		caTrigger.notify()
	})
	if err != nil {
		return nil, nil, err
	}
	policy := policy{service: config.Service, caValidity: config.CAValidity, leafValidity: config.LeafValidity}
	servingController := &ServingController{Serving: serving, policy: policy, informers: informers, trigger: servingTrigger, now: time.Now}
	caController := &CAController{
		serving: serving, policy: policy, informers: informers, trigger: caTrigger, now: time.Now,
		secretName: config.SecretName, secrets: kube.CoreV1().Secrets(config.Service.Namespace),
		apiServices: registration.ApiregistrationV1().APIServices(),
		limiter:     rate.NewLimiter(rate.Every(time.Second), writeBurst),
	}
	return servingController, caController, nil
}

// trigger wakes one loop. What rings while nobody listens is heard once.
type trigger chan struct{}

func newTrigger() trigger { return make(trigger, 1) }

func (t trigger) notify() {
	select {
	case t <- struct{}{}:
	default:
	}
}

// runLoop does something at once, at each ring of the bell and from time to time, until ctx is done.
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

// Service names the Service that leads to Postern.
type Service struct {
	Namespace, Name string
}

// ServerName is the name that the kube-apiserver demands of the certificate of an aggregated API server.
//
// Source: BuildTransportConfig in k8s.io/kube-aggregator, pkg/controllers/status/remote/remote_available_controller.go.
func (s Service) ServerName() string { return s.Name + "." + s.Namespace + ".svc" }

// dnsNames are all names that a leaf is good for: that one, what Pods call it in most clusters, and the own machine.
func (s Service) dnsNames() []string {
	return []string{s.ServerName(), s.ServerName() + ".cluster.local", "localhost"}
}

const (
	// DefaultCAValidity is how long a certificate authority is valid. It is renewed without anybody noticing, so it need
	// not outlast the cluster: a stolen key ends within the year, and renewal is something that is seen to work. It is long
	// enough for a cluster that is switched off for a season.
	DefaultCAValidity = 365 * 24 * time.Hour

	// DefaultLeafValidity is how long a serving certificate is valid. Renewing one asks nobody but this process, so it can
	// be short; and it is for so long that an authority is trusted after another has taken its place.
	DefaultLeafValidity = 24 * time.Hour

	// maxBackdate is by how much the clocks of replicas and of the kube-apiserver may differ.
	maxBackdate = 5 * time.Minute
)

// backdate is how long before it is made a certificate begins to be valid.
func backdate(validity time.Duration) time.Duration { return min(maxBackdate, validity/10) }

// renewAt is when two thirds of a certificate's life are over.
func renewAt(certificate *x509.Certificate) time.Time {
	return certificate.NotAfter.Add(-certificate.NotAfter.Sub(certificate.NotBefore) / 3)
}

// isExpired reports whether a certificate has expired.
func isExpired(certificate *x509.Certificate, now time.Time) bool {
	return now.After(certificate.NotAfter)
}
