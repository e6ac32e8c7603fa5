// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"time"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/cmd/postern/app/options"
	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/receiver"
	"postern.dev/postern/pkg/target"
)

const (
	// receiverDrainTimeout is longer than the longest webhook after its body is read. It leaves a part of drainTimeout
	// to the API server, which stops after the receiver.
	receiverDrainTimeout = 45 * time.Second

	// maxReceiverConnections keeps unauthenticated clients from exhausting the memory that the API server shares: with
	// headers of the maximum size, a connection takes about 100 KB before any verification, and several times that with
	// HTTP/2.
	maxReceiverConnections = 1000
)

// newReceiver returns the server of the classic receiver. It uses the same delivery pipeline as the API server.
func newReceiver(
	o *options.Options, certificates *receiver.Certificates, server *apiserver.Server, config apiserver.ExtraConfig,
	targets *target.Cache,
) (*receiver.Server, error) {
	settings, err := o.ReceiverConfig()
	if err != nil {
		return nil, err
	}
	config.Secrets.SetNamespaceFilter(settings.Namespaces.Allow)
	// The API server owns the storage and must not close it before the last webhook is answered.
	done := make(chan struct{})
	if err := server.DelayShutdownUntil(done); err != nil {
		return nil, err
	}
	return receiver.NewServer(receiver.ServerConfig{
		Handler: receiver.NewHandler(receiver.Config{
			Deliverer:        server.Deliverer(),
			Limiter:          server.Limiter(),
			CanAccept:        config.Verifier.CanAccept,
			Namespaces:       settings.Namespaces,
			TargetNamespaces: targets.Namespaces,
			Exists: func(namespace, name string) bool {
				return targets.Has(postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: namespace, Name: name})
			},
			MaxPayloadBytes: o.MaxPayloadBytes,
		}),
		Address:        o.Receiver.Address(),
		SharePort:      o.Recommended.SecureServing.PermitPortSharing,
		MaxConnections: maxReceiverConnections,
		TLS:            settings.TLS,
		Certificates:   certificates,
		Rate:           settings.Rate,
		MaxWaiting:     o.ServerRun.MaxMutatingRequestsInFlight,
		OnRateLimited:  server.Limiter().CountOverRate,
		BodyTimeout:    o.Limits.PayloadTimeout,
		SecretsSynced:  config.SecretsSynced,
		ShutdownDelay:  o.ServerRun.ShutdownDelayDuration,
		DrainTimeout:   receiverDrainTimeout,
		OnStopped:      func() { close(done) },
	}), nil
}
