// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// EtcdCluster is a multi-member etcd for Postern, separate from the kube-apiserver's, so that members can be lost and
// restarted. Members and clients authenticate with certificates, as in production. Its methods are not safe for
// concurrent use.
type EtcdCluster struct {
	members []*EtcdMember
	pki     *pki
}

// StartEtcdCluster starts an empty etcd with the given number of members and returns once all of them serve. The caller
// stops it before the control plane.
func (c *ControlPlane) StartEtcdCluster(ctx context.Context, members int) (*EtcdCluster, error) {
	if c.detached {
		return nil, errors.New("a detached control plane can't have an etcd cluster: nothing would stop it")
	}
	e, err := c.prepareEtcdCluster(members)
	if err == nil {
		err = e.startAll(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("could not start an etcd cluster: %w", err), e.Stop())
	}
	return e, nil
}

// prepareEtcdCluster also returns a cluster to stop if it returns an error.
func (c *ControlPlane) prepareEtcdCluster(members int) (*EtcdCluster, error) {
	e := &EtcdCluster{}
	dir, err := os.MkdirTemp(c.dir, "etcd-cluster-")
	if err != nil {
		return e, err
	}
	if e.pki, err = loadEtcdPKI(filepath.Join(dir, "pki")); err != nil {
		return e, err
	}
	for i := range members {
		m, err := c.newEtcdMember(dir, fmt.Sprintf("etcd-%d", i), e.pki)
		if err != nil {
			return e, err
		}
		e.members = append(e.members, m)
	}
	var peers []string
	for _, m := range e.members {
		peers = append(peers, m.process.name+"="+m.peerURL())
	}
	for _, m := range e.members {
		m.process.args = append(m.flags(), "--initial-cluster="+strings.Join(peers, ","))
	}
	return e, nil
}

// startAll starts the members concurrently: a new cluster serves only once a majority is up.
func (e *EtcdCluster) startAll(ctx context.Context) error {
	for _, m := range e.members {
		if err := m.process.start(); err != nil {
			return err
		}
	}
	for _, m := range e.members {
		if err := m.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Members returns all members, including stopped ones.
func (e *EtcdCluster) Members() []*EtcdMember { return e.members }

// Leader returns the leader, and waits until there is one.
func (e *EtcdCluster) Leader(ctx context.Context) (*EtcdMember, error) {
	var leader *EtcdMember
	var running []*process
	for _, m := range e.members {
		if m.process.running() {
			running = append(running, m.process)
		}
	}
	if len(running) == 0 {
		return nil, errors.New("could not find the leader of etcd: no member runs")
	}
	control := e.members[0].controlPlane
	err := control.waitFor(ctx, running, func(ctx context.Context) error {
		var err error
		leader, err = e.findLeader(ctx)
		return err
	})
	return leader, err
}

func (e *EtcdCluster) findLeader(ctx context.Context) (*EtcdMember, error) {
	err := errors.New("no member of etcd reports that it is the leader")
	for _, m := range e.members {
		if !m.process.running() {
			continue
		}
		leads, askErr := m.leads(ctx)
		if leads {
			return m, nil
		}
		err = errors.Join(err, askErr)
	}
	return nil, err
}

// Stop kills all members and keeps their data and logs.
func (e *EtcdCluster) Stop() error {
	var errs []error
	for _, m := range e.members {
		errs = append(errs, m.Kill(), m.clientPort.release(), m.peerPort.release())
	}
	return errors.Join(errs...)
}

// serversFlag points Postern at all members.
func (e *EtcdCluster) serversFlag() string {
	var urls []string
	for _, m := range e.members {
		urls = append(urls, m.clientURL())
	}
	return "--etcd-servers=" + strings.Join(urls, ",")
}

// certificateFlags configure the certificate that Postern presents to the members.
func (e *EtcdCluster) certificateFlags() []string {
	return []string{
		"--etcd-cafile=" + e.pki.cert(etcdCA),
		"--etcd-certfile=" + e.pki.cert(etcdCert),
		"--etcd-keyfile=" + e.pki.key(etcdCert),
	}
}
