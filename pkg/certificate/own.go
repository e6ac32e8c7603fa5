// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// lookInterval is how often a replica looks whether something is to be done, if nothing has changed. Looking is cheap,
// and so there is no timer that a clock which is set, or a machine that slept, could put wrong.
const lookInterval = 2 * time.Second

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
func New(config Config) (*Follower, *Keeper, error) {
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
	follows, keeps := newBell(), newBell()
	watch, err := newWatch(kube, registration, config.Service, config.SecretName, config.APIServiceName, func() {
		follows.ring()
		keeps.ring()
	})
	if err != nil {
		return nil, nil, err
	}
	rules := rules{service: config.Service, caValidity: config.CAValidity, leafValidity: config.LeafValidity}
	follower := &Follower{Serving: serving, rules: rules, watch: watch, changed: follows, now: time.Now}
	keeper := &Keeper{
		serving: serving, rules: rules, watch: watch, changed: keeps, now: time.Now,
		secretName: config.SecretName, secrets: kube.CoreV1().Secrets(config.Service.Namespace),
		apiServices: registration.ApiregistrationV1().APIServices(),
		writes:      rate.NewLimiter(rate.Every(time.Second), writesAtOnce),
	}
	return follower, keeper, nil
}

// bell wakes one loop. What rings while nobody listens is heard once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// whenever does something at once, at each ring of the bell and from time to time, until ctx is done.
func whenever(ctx context.Context, b bell, do func(context.Context)) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		do(ctx)
		select {
		case <-b:
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
