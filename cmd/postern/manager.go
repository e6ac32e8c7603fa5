// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"postern.dev/postern/pkg/credential"
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

// watchSecrets updates secrets from the manager's cache. The result reports whether all have been processed once.
func watchSecrets(ctx context.Context, mgr manager.Manager, secrets *credential.Secrets) (toolscache.InformerSynced,
	error) {
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
