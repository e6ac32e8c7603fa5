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

// drainTimeout bounds the shutdown: the longest request of the API server, plus time to close its resources.
const drainTimeout = 75 * time.Second

// serve runs caches and servers under one manager, which starts and stops them in order. Until the API server starts,
// startup serves on the port: the caches may wait for RBAC permissions that an administrator must grant first.
func (a *app) serve(ctx context.Context) error {
	defer time.AfterFunc(startupServerDelay, a.startup.start).Stop()
	if err := waitForAPIServer(ctx, a.options); err != nil {
		return err
	}
	config, err := genericConfig(a.options)
	if err != nil {
		return err
	}
	a.managedCerts.addTo(config)
	mgr, err := newManager(config.ClientConfig, a.shutdownDelay+drainTimeout)
	if err != nil {
		return err
	}
	secretsSynced, err := watchSecrets(ctx, mgr, a.files.secrets)
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
	writer.Shared = a.shared()
	work := apiserver.NewWork(a.limits.namespaceSharePercent)
	writer.Turn = work.ToWrite
	index := controller.NewRecordIndex()
	backlog := controller.NewBacklog(index, int64(a.limits.maxDeliveries), a.limits.maxDeliveryBytes,
		a.limits.namespaceSharePercent)
	serverConfig := &apiserver.Config{Generic: config, Extra: apiserver.ExtraConfig{
		Verifier:      credential.NewVerifier(a.credentials, a.files.secrets),
		Secrets:       a.files.secrets,
		Targets:       writer,
		Events:        mgr.GetEventRecorder("postern"),
		SecretsSynced: secretsSynced,
		CachesReady: func() error {
			switch {
			case !secretsSynced():
				return errors.New("the webhook secrets are not in the cache yet")
			case !index.HasSynced(): // otherwise a delivery could overwrite a newer ref that only a record shows
				return errors.New("the records of earlier deliveries are not loaded yet")
			}
			return targets.Ready()
		},
		BeforeServing:           a.startup.handOver,
		StorageReady:            a.storageReady,
		Backlog:                 backlog.Check,
		Work:                    work,
		NamespaceSharePercent:   a.limits.namespaceSharePercent,
		Shared:                  a.shared(),
		DeliveryTTL:             a.deliveryTTL,
		MaxPayloadBytes:         a.maxPayloadBytes,
		MaxInflightPayloadBytes: a.limits.maxInflightPayloadBytes,
		PayloadTimeout:          a.limits.payloadTimeout,
		Direct: apiserver.DirectCallers{
			Allow:             a.allowDirect,
			RequestsPerSecond: a.limits.directRequestsPerSecond,
			OpenPaths:         a.recommended.Authorization.AlwaysAllowPaths,
		},
	}}
	server, err := serverConfig.Complete().New()
	if err != nil {
		return err
	}
	index.SetSource(server.Records().All(), server.Deliverer().HandleRecord)
	// A retry needs the secrets to know which targets accept it, and the history so as not to overwrite newer refs.
	synced := func() bool { return secretsSynced() && index.HasSynced() }
	leader, err := newLeader(config.ClientConfig, a.options,
		func(ctx context.Context) error { return a.runLeader(ctx, server, index, synced) })
	if err != nil {
		return err
	}
	var runnables []manager.Runnable
	if a.webhook.enabled {
		receiverServer, err := newReceiver(a.options, a.files.certificates, server, serverConfig.Extra, targets)
		if err != nil {
			return err
		}
		// The receiver starts before the server, which waits for it to stop: after a stop the manager starts nothing.
		runnables = append(runnables, receiverServer)
	}
	runnables = append(runnables, targets, server, index, leader, a.files.defaults)
	for _, runnable := range runnables {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("could not add a runnable to the manager: %w", err)
		}
	}
	return mgr.Start(ctx)
}

// shared reports whether other replicas may use the same storage and write the same targets.
func (a *app) shared() bool { return a.member == nil }

// storageReady returns an error if the embedded etcd can't store anything. An external etcd has its own health check.
func (a *app) storageReady() error {
	if a.member == nil {
		return nil
	}
	return a.member.Ready()
}
