// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/controller"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/target"
)

// drainTimeout bounds the end: the longest request of the API server, and some time to close what it used.
const drainTimeout = 75 * time.Second

// serve runs caches and servers under one manager, which starts and stops them in order. The port is held until the API
// server begins: the caches may have to wait for a permission, and for as long as somebody needs to grant it.
func (p *process) serve(ctx context.Context) error {
	defer time.AfterFunc(holdAfter, p.hold.take).Stop()
	if err := awaitKubernetes(ctx, p.options); err != nil {
		return err
	}
	config, err := genericConfig(p.options)
	if err != nil {
		return err
	}
	p.own.addTo(config)
	mgr, err := newManager(config.ClientConfig, p.shutdownDelay+drainTimeout)
	if err != nil {
		return err
	}
	secretsSynced, err := follow(ctx, mgr, p.files.secrets)
	if err != nil {
		return err
	}
	targets, err := target.NewCache(config.ClientConfig)
	if err != nil {
		return err
	}
	writer, err := target.NewWriter(config.ClientConfig, targets)
	if err != nil {
		return err
	}
	writer.Shared = p.shared()
	work := apiserver.NewWork(p.limits.namespaceSharePercent)
	writer.Turn = work.ToWrite
	ledger := controller.NewLedger()
	backlog := controller.NewBacklog(ledger, int64(p.limits.maxDeliveries), p.limits.maxDeliveryBytes, p.limits.namespaceSharePercent)
	var history *controller.History
	serverConfig := &apiserver.Config{Generic: config, Extra: apiserver.ExtraConfig{
		Verifier:      credential.NewVerifier(p.credentials, p.files.secrets),
		Secrets:       p.files.secrets,
		Targets:       writer,
		Events:        mgr.GetEventRecorder("postern"),
		SecretsSynced: secretsSynced,
		CachesReady: func() error {
			switch {
			case !secretsSynced():
				return errors.New("the secrets are not in the cache yet")
			case !history.HasSynced(): // or what is written could be older than what a record tells
				return errors.New("the records of earlier deliveries are not read yet")
			}
			return targets.Ready()
		},
		BeforeServing:           p.hold.release,
		StorageReady:            p.storageReady,
		Backlog:                 backlog.Full,
		Work:                    work,
		NamespaceSharePercent:   p.limits.namespaceSharePercent,
		Shared:                  p.shared(),
		DeliveryTTL:             p.deliveryTTL,
		MaxPayloadBytes:         p.maxPayloadBytes,
		MaxInflightPayloadBytes: p.limits.maxInflightPayloadBytes,
		PayloadTimeout:          p.limits.payloadTimeout,
		Direct: apiserver.DirectCallers{
			Allow:             p.allowDirect,
			RequestsPerSecond: p.limits.directRequestsPerSecond,
			OpenPaths:         p.recommended.Authorization.AlwaysAllowPaths,
		},
	}}
	server, err := serverConfig.Complete().New()
	if err != nil {
		return err
	}
	ledger.Follow(server.Records().All())
	history = controller.NewHistory(server.Records().All(), server.Deliverer())
	// Until the secrets are known, so is not whose secret counts. Until the history is, a retry could write what is older.
	known := func() bool { return secretsSynced() && history.HasSynced() }
	leader, err := newLeader(config.ClientConfig, p.options, func(ctx context.Context) error { return p.lead(ctx, server, ledger, known) })
	if err != nil {
		return err
	}
	var runnables []manager.Runnable
	if p.webhook.enabled {
		classic, err := newReceiver(p.options, p.files.certificates, server, serverConfig.Extra, targets)
		if err != nil {
			return err
		}
		// The manager starts no more once it is told to stop, and the server, if it was started, waits for this one's end.
		runnables = append(runnables, classic)
	}
	runnables = append(runnables, targets, server, history, ledger, leader, p.files.defaults)
	for _, runnable := range runnables {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("could not add to the manager: %w", err)
		}
	}
	return mgr.Start(ctx)
}

// shared reports whether other replicas may use the same records, and write the same targets.
func (p *process) shared() bool { return p.member == nil }

// storageReady returns an error while nothing can be stored. Of an etcd elsewhere, its own health check tells.
func (p *process) storageReady() error {
	if p.member == nil {
		return nil
	}
	return p.member.Ready()
}
