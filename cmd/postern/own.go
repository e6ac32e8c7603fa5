// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/certificate"
)

// ownCertificates are those that Postern makes itself. The zero value is that it makes none: the Secret and the APIService
// are then left alone, and neither is even read.
type ownCertificates struct {
	follower *certificate.Follower
	keeper   *certificate.Keeper
}

// newOwnCertificates makes the server serve with certificates of its own. Nothing is asked of the kube-apiserver yet.
func newOwnCertificates(o *options) (*ownCertificates, error) {
	client, err := clientConfig(o)
	if err != nil {
		return nil, err
	}
	follower, keeper, err := certificate.New(certificate.Config{
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
	o.recommended.SecureServing.ServerCert.GeneratedCert = follower.Serving
	return &ownCertificates{follower: follower, keeper: keeper}, nil
}

// follow keeps this replica's certificate up until end is called.
func (c *ownCertificates) follow(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.follower.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// keep keeps the Secret and the caBundle up until ctx is done. One replica does it for all.
func (c *ownCertificates) keep(ctx context.Context) {
	if c.keeper != nil {
		c.keeper.Run(ctx)
	}
}

// addTo makes /readyz and /metrics of the server tell about the certificate, whoever has made it.
func (c *ownCertificates) addTo(config *genericapiserver.RecommendedConfig) {
	switch {
	case c.follower != nil:
		config.AddReadyzChecks(healthz.NamedCheck("serving-certificate", func(*http.Request) error { return c.follower.Ready() }))
	case config.SecureServing != nil && config.SecureServing.Cert != nil:
		certificate.ObserveServing(config.SecureServing.Cert)
	}
}
