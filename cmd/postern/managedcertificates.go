// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/servingcert"
)

// managedCertificates runs the controllers of Postern's own certificates. The zero value runs none: Postern then
// neither reads nor writes the Secret and the APIService.
type managedCertificates struct {
	servingController *servingcert.ServingController
	caController      *servingcert.CAController
}

// newManagedCertificates makes the server use its own certificates. It does not contact the kube-apiserver.
func newManagedCertificates(o *options) (*managedCertificates, error) {
	client, err := clientConfig(o)
	if err != nil {
		return nil, err
	}
	servingController, caController, err := servingcert.New(servingcert.Config{
		Client:         client,
		Service:        o.certificates.service,
		SecretName:     o.certificates.caSecretName,
		APIServiceName: v1alpha1.SchemeGroupVersion.Version + "." + v1alpha1.SchemeGroupVersion.Group,
		CAValidity:     o.certificates.caValidity,
		LeafValidity:   o.certificates.leafValidity,
	})
	if err != nil {
		return nil, err
	}
	o.recommended.SecureServing.ServerCert.GeneratedCert = servingController.Serving
	return &managedCertificates{servingController: servingController, caController: caController}, nil
}

// startServingController renews this replica's certificate until stop is called.
func (c *managedCertificates) startServingController(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.servingController.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// runCAController reconciles the Secret and the caBundle until ctx is done. One replica runs it.
func (c *managedCertificates) runCAController(ctx context.Context) {
	if c.caController != nil {
		c.caController.Run(ctx)
	}
}

// addTo adds a readyz check for a managed serving certificate, or metrics for one from files.
func (c *managedCertificates) addTo(config *genericapiserver.RecommendedConfig) {
	switch {
	case c.servingController != nil:
		config.AddReadyzChecks(healthz.NamedCheck("serving-certificate", func(*http.Request) error {
			return c.servingController.Ready()
		}))
	case config.SecureServing != nil && config.SecureServing.Cert != nil:
		servingcert.ObserveServing(config.SecureServing.Cert)
	}
}
