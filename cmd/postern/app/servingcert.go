// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"net/http"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/cmd/postern/app/options"
	"postern.dev/postern/pkg/servingcert"
)

// servingCert runs the controllers of Postern's own serving certificates. Both are nil if the certificate is from
// files: Postern then neither reads nor writes the Secret and the APIService.
type servingCert struct {
	servingController *servingcert.ServingController
	caController      *servingcert.CAController
}

// newServingCert makes the server use its own certificates unless files are given. It does not contact the
// kube-apiserver.
func newServingCert(o *options.Options, client *rest.Config) (*servingCert, error) {
	if !o.ManagesServingCert() {
		return &servingCert{}, nil
	}
	servingController, caController, err := servingcert.New(servingcert.Config{
		Client:         client,
		Service:        o.ServingCert.Service,
		SecretName:     o.ServingCert.CASecretName,
		APIServiceName: v1alpha1.SchemeGroupVersion.Version + "." + v1alpha1.SchemeGroupVersion.Group,
		CAValidity:     o.ServingCert.CAValidity,
		LeafValidity:   o.ServingCert.LeafValidity,
	})
	if err != nil {
		return nil, err
	}
	o.Recommended.SecureServing.ServerCert.GeneratedCert = servingController.Serving
	return &servingCert{servingController: servingController, caController: caController}, nil
}

// start renews this replica's certificate until stop is called.
func (c *servingCert) start(ctx context.Context) (stop func()) {
	if c.servingController == nil {
		return func() {}
	}
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
func (c *servingCert) runCAController(ctx context.Context) {
	if c.caController != nil {
		c.caController.Run(ctx)
	}
}

// addTo adds a readyz check for a managed serving certificate, or metrics for one from files.
func (c *servingCert) addTo(config *genericapiserver.RecommendedConfig) {
	switch {
	case c.servingController != nil:
		config.AddReadyzChecks(healthz.NamedCheck("serving-certificate", func(*http.Request) error {
			return c.servingController.Ready()
		}))
	case config.SecureServing != nil && config.SecureServing.Cert != nil:
		servingcert.ObserveServing(config.SecureServing.Cert)
	}
}
