// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Replicas are several Posterns that share an etcd behind a load balancer, like a Deployment with a Service. Its
// methods are not safe for concurrent use.
type Replicas struct {
	controlPlane *ControlPlane
	balancer     *balancer
	all          []*Postern
}

// StartReplicas runs n Posterns and a load balancer in this process, which the kube-apiserver uses as Postern. They
// need an etcd from the options or the installation. It returns once requests reach all replicas. Install must have
// been called before, and no other Postern of the control plane may run. The caller stops them before the etcd and the
// control plane.
func (c *ControlPlane) StartReplicas(ctx context.Context, n int, o PosternOptions) (*Replicas, error) {
	if c.detached || o.Etcd == nil && c.posternEtcd == nil {
		return nil, errors.New("could not start replicas: they need a shared etcd, and can't be detached")
	}
	r := &Replicas{controlPlane: c}
	if err := r.start(ctx, n, o); err != nil {
		return nil, errors.Join(fmt.Errorf("could not start replicas: %w", err), r.Kill())
	}
	return r, nil
}

func (r *Replicas) start(ctx context.Context, n int, o PosternOptions) error {
	c := r.controlPlane
	installed, err := c.installedWorkload(ctx)
	if err != nil {
		return err
	}
	var addresses []string
	for i := range n {
		p, err := r.newReplica(ctx, installed, fmt.Sprintf("postern-%d", i), o)
		if err != nil {
			return err
		}
		r.all = append(r.all, p)
		addresses = append(addresses, p.Address())
	}
	if r.balancer, err = c.startBalancer(ctx, c.posternPort, addresses); err != nil {
		return err
	}
	var starting errgroup.Group
	for _, p := range r.all {
		starting.Go(func() error { return p.Start(ctx) })
	}
	if err := starting.Wait(); err != nil {
		return err
	}
	if err := c.register(ctx, r.all[0].certificate); err != nil {
		return fmt.Errorf("could not register Postern: %w", err)
	}
	if err := c.WaitForPostern(ctx); err != nil {
		return err
	}
	return installed.reportReady(ctx, n)
}

// newReplica returns a Postern that is considered started once the load balancer sends it connections.
func (r *Replicas) newReplica(ctx context.Context, installed *workload, name string, o PosternOptions) (*Postern,
	error) {
	port, err := reservePort(r.controlPlane.path(name + ".port"))
	if err != nil {
		return nil, err
	}
	p, err := r.controlPlane.newPostern(ctx, installed, name, port, o)
	if err != nil {
		return nil, errors.Join(err, port.release())
	}
	p.reach = func(ctx context.Context) error {
		return r.controlPlane.waitFor(ctx, []*process{p.process}, func(context.Context) error {
			if !r.balancer.uses(p.Address()) {
				return fmt.Errorf("the load balancer has not found %s ready", name)
			}
			return nil
		})
	}
	return p, nil
}

// All returns all replicas, including stopped ones. Each can be stopped, killed and started separately.
func (r *Replicas) All() []*Postern { return r.all }

// Kill ends all replicas and the load balancer.
func (r *Replicas) Kill() error {
	var errs []error
	for _, p := range r.all {
		errs = append(errs, p.Kill(), p.port.release())
	}
	if r.balancer != nil {
		errs = append(errs, r.balancer.close())
	}
	return errors.Join(errs...)
}
