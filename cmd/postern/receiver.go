// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/receiver"
	"postern.dev/postern/pkg/target"
)

const (
	// receiverDrainTimeout is longer than the longest webhook takes once its body is there, and leaves the API server, which
	// ends after the receiver, a part of drainTimeout.
	receiverDrainTimeout = 45 * time.Second

	// maxReceiverConnections keeps strangers from using up the memory of the API server, which shares it: with headers as
	// large as they may be, a connection takes about 100 KB before anything of it can be verified, one of HTTP/2 some times that.
	maxReceiverConnections = 1000
)

// newReceiver returns the server of the classic receiver, whose deliveries take the same way as those of the API server.
func newReceiver(
	o *options, certificates *receiver.Certificates, server *apiserver.Server, config apiserver.ExtraConfig, targets *target.Cache,
) (*receiver.Server, error) {
	tls, err := o.webhook.tls(o.explicit)
	if err != nil {
		return nil, err
	}
	rate, err := receiver.ParseRate(o.webhook.rate)
	if err != nil {
		return nil, err
	}
	namespaces, err := receiver.ParseNamespaces(o.webhook.namespaces)
	if err != nil {
		return nil, err
	}
	config.Secrets.SetNamespaceFilter(namespaces.Allow)
	// The records are the API server's, which must not close them before the last webhook is answered.
	done := make(chan struct{})
	if err := server.DelayShutdownUntil(done); err != nil {
		return nil, err
	}
	return receiver.NewServer(receiver.ServerConfig{
		Handler: receiver.NewHandler(receiver.Config{
			Deliverer:        server.Deliverer(),
			Limiter:          server.Limiter(),
			CanAccept:        config.Verifier.CanAccept,
			Namespaces:       namespaces,
			TargetNamespaces: targets.Namespaces,
			Exists: func(namespace, name string) bool {
				return targets.Has(target.Key{Kind: target.KindGatewaySync, Namespace: namespace, Name: name})
			},
			MaxPayloadBytes: o.maxPayloadBytes,
		}),
		Address:        o.webhook.address(),
		SharePort:      o.recommended.SecureServing.PermitPortSharing,
		MaxConnections: maxReceiverConnections,
		TLS:            tls,
		Certificates:   certificates,
		Rate:           rate,
		MaxWaiting:     o.limits.maxMutatingRequestsInFlight,
		OnRateLimited:  server.Limiter().CountOverRate,
		BodyTimeout:    o.limits.payloadTimeout,
		SecretsSynced:  config.SecretsSynced,
		ShutdownDelay:  o.shutdownDelay,
		DrainTimeout:   receiverDrainTimeout,
		OnStopped:      func() { close(done) },
	}), nil
}
