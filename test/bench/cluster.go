// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"postern.dev/postern/test/controlplane"
)

const (
	namespace, senderName = "bench", "sender"
	tokenValidity         = 2 * time.Hour
	// fewObjects is the number of objects of each kind while Postern's start is measured.
	fewObjects = 100
)

var (
	//go:embed audit-policy.yaml
	auditPolicy []byte
	//go:embed sender.yaml
	senderManifest string
)

// cluster is a control plane in a temporary directory, and its users.
type cluster struct {
	*controlplane.ControlPlane
	postern *controlplane.Postern // nil until it is started

	admin *client
	// sender delivers, and makes the same changes without Postern.
	sender *client
	// direct calls Postern directly, for metrics and profiles.
	direct *client

	refs atomic.Int64
}

// startCluster starts a control plane in which Postern is installed but not running.
func startCluster(ctx context.Context) (*cluster, error) {
	controlPlane, err := controlplane.Start(ctx, controlplane.Options{AuditPolicy: auditPolicy})
	if err != nil {
		return nil, err
	}
	c := &cluster{ControlPlane: controlPlane}
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
	c.admin, err = newClient(c.RESTConfig())
	return err
}

func (c *cluster) startPostern(ctx context.Context) (err error) {
	if c.postern, err = c.StartPostern(ctx, controlplane.PosternOptions{}); err != nil {
		return err
	}
	c.direct, err = newClient(c.postern.DirectConfig())
	return err
}

func (c *cluster) stop(ctx context.Context) error {
	var err error
	if c.postern != nil {
		err = c.postern.Kill()
	}
	return errors.Join(err, c.Stop(ctx))
}
