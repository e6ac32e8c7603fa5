// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync/atomic"
	"time"

	"postern.dev/postern/test/controlplane"
)

const (
	namespace, senderName = "bench", "sender"
	tokenValidity         = 2 * time.Hour
	// fewObjects is the number of objects of each kind where their number does not matter.
	fewObjects = 100
)

var (
	//go:embed audit-policy.yaml
	auditPolicy []byte
	//go:embed sender.yaml
	senderManifest string
)

// cluster is a control plane with Postern in a temporary directory, and its users.
type cluster struct {
	*controlplane.ControlPlane
	postern *controlplane.Postern // nil until it is started
	// objects is the number of objects of each kind.
	objects int
	// peers are the running receivers of others.
	peers map[string]*controlplane.Program

	admin *client
	// sender delivers, and makes the same changes without Postern.
	sender *client
	// direct calls Postern directly, for metrics and profiles.
	direct *client
	// etcd reads the metrics of the etcd in Postern; nil if Postern's etcd is another program.
	etcd *client

	refs atomic.Int64
}

// startCluster starts a control plane with objects of each kind, and then Postern.
func startCluster(ctx context.Context, objects int) (*cluster, error) {
	controlPlane, err := controlplane.Start(ctx, controlplane.Options{AuditPolicy: auditPolicy})
	if err != nil {
		return nil, err
	}
	c := &cluster{ControlPlane: controlPlane, objects: objects, peers: map[string]*controlplane.Program{}}
	if err := c.prepare(ctx); err != nil {
		return nil, errors.Join(err, c.stop(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (c *cluster) prepare(ctx context.Context) (err error) {
	if err := c.Install(ctx); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "", "create", "namespace", namespace); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, senderManifest, "create", "--filename=-"); err != nil {
		return fmt.Errorf("could not make the sender: %w", err)
	}
	token, err := c.ServiceAccountToken(ctx, namespace, senderName, tokenValidity)
	if err != nil {
		return err
	}
	config, err := c.TokenConfig(token)
	if err != nil {
		return err
	}
	if c.sender, err = newClient(config); err != nil {
		return err
	}
	if c.admin, err = newClient(c.RESTConfig()); err != nil {
		return err
	}
	for _, k := range kinds() {
		if err := c.create(ctx, k, 0, c.objects); err != nil {
			return err
		}
	}
	return c.startPostern(ctx, controlplane.PosternOptions{})
}

// startPostern starts Postern, or restarts it with other options.
func (c *cluster) startPostern(ctx context.Context, o controlplane.PosternOptions) error {
	postern, err := c.StartPostern(ctx, o)
	if err != nil {
		return err
	}
	c.postern = postern
	if !c.EtcdIsOutside() {
		c.etcd = newSocketClient(filepath.Join(c.EtcdDir(), "client.sock"))
	}
	c.direct, err = newClient(c.postern.DirectConfig())
	return err
}

// programs returns the process IDs of all programs but this one.
func (c *cluster) programs() map[string]int {
	all := c.PIDs()
	all["postern"] = c.postern.PID()
	for name, program := range c.peers {
		all[name] = program.PID()
	}
	return all
}

func (c *cluster) stop(ctx context.Context) error {
	var errs []error
	for program := range maps.Values(c.peers) {
		errs = append(errs, program.Kill())
	}
	if c.postern != nil {
		errs = append(errs, c.postern.Kill())
	}
	return errors.Join(append(errs, c.Stop(ctx))...)
}
