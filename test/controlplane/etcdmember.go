// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	certutil "k8s.io/client-go/util/cert"
)

// memberTimeout bounds one request to a member.
const memberTimeout = 2 * time.Second

// EtcdMember is one member of an EtcdCluster. Its methods are not safe for concurrent use.
type EtcdMember struct {
	controlPlane         *ControlPlane
	process              *process
	pki                  *pki
	clientPort, peerPort *port
}

// newEtcdMember returns a member with its data in dir.
func (c *ControlPlane) newEtcdMember(dir, name string, pki *pki) (*EtcdMember, error) {
	m := &EtcdMember{controlPlane: c, pki: pki, process: c.newProcess(name, c.k8sBinary("etcd"), nil)}
	m.process.stateDir = dir
	var err error
	if m.clientPort, err = reservePort(filepath.Join(dir, name+".port")); err != nil {
		return nil, err
	}
	if m.peerPort, err = reservePort(filepath.Join(dir, name+"-peer.port")); err != nil {
		return nil, errors.Join(err, m.clientPort.release())
	}
	return m, nil
}

// flags returns all flags except --initial-cluster, which also names the other members.
func (m *EtcdMember) flags() []string {
	cert, key, ca := m.pki.cert(etcdCert), m.pki.key(etcdCert), m.pki.cert(etcdCA)
	return []string{
		"--name=" + m.process.name,
		"--data-dir=" + m.process.name,
		"--listen-client-urls=" + m.clientURL(),
		"--advertise-client-urls=" + m.clientURL(),
		"--listen-peer-urls=" + m.peerURL(),
		"--initial-advertise-peer-urls=" + m.peerURL(),
		"--socket-reuse-port", // shared with our reservation of the ports
		"--cert-file=" + cert, "--key-file=" + key, "--trusted-ca-file=" + ca, "--client-cert-auth",
		"--peer-cert-file=" + cert, "--peer-key-file=" + key, "--peer-trusted-ca-file=" + ca, "--peer-client-cert-auth",
		"--log-level=warn",
	}
}

func (m *EtcdMember) clientURL() string { return "https://127.0.0.1:" + m.clientPort.String() }
func (m *EtcdMember) peerURL() string   { return "https://127.0.0.1:" + m.peerPort.String() }

// Name is the name of the member and of its log.
func (m *EtcdMember) Name() string { return m.process.name }

// Kill ends the member with SIGKILL, without a leadership transfer, and returns when it is gone.
func (m *EtcdMember) Kill() error { return m.process.kill() }

// Pause suspends the member: requests that need it hang until Resume.
func (m *EtcdMember) Pause() error { return m.process.signal(syscall.SIGSTOP) }

// Resume resumes the member after Pause. It is idempotent.
func (m *EtcdMember) Resume() error { return m.process.signal(syscall.SIGCONT) }

// Start restarts the member after Kill with its data, and returns once it serves as part of the cluster.
func (m *EtcdMember) Start(ctx context.Context) error {
	if err := m.process.start(); err != nil {
		return err
	}
	return m.wait(ctx)
}

// wait returns once the member has served a linearizable read, which needs a quorum.
func (m *EtcdMember) wait(ctx context.Context) error {
	err := m.controlPlane.waitFor(ctx, []*process{m.process}, func(ctx context.Context) error {
		return m.ask(ctx, func(ctx context.Context, client *clientv3.Client) error {
			_, err := client.Get(ctx, "any", clientv3.WithCountOnly())
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("could not start a member of etcd: %w", err)
	}
	return nil
}

// leads reports whether the member considers itself the leader.
func (m *EtcdMember) leads(ctx context.Context) (leads bool, err error) {
	err = m.ask(ctx, func(ctx context.Context, client *clientv3.Client) error {
		status, err := client.Status(ctx, m.clientURL())
		leads = err == nil && status.Leader == status.Header.MemberId
		return err
	})
	return leads, err
}

// ask uses a new client for each call: a client whose member was down backs off ever longer.
func (m *EtcdMember) ask(ctx context.Context, question func(context.Context, *clientv3.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	client, err := m.client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	return question(ctx, client)
}

// client returns a client that is closed when ctx ends.
func (m *EtcdMember) client(ctx context.Context) (*clientv3.Client, error) {
	pair, err := tls.LoadX509KeyPair(m.pki.cert(etcdCert), m.pki.key(etcdCert))
	if err != nil {
		return nil, err
	}
	roots, err := certutil.NewPool(m.pki.cert(etcdCA))
	if err != nil {
		return nil, err
	}
	return clientv3.New(clientv3.Config{
		Context:   ctx,
		Endpoints: []string{m.clientURL()},
		TLS:       &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12},
		Logger:    zap.NewNop(), // otherwise it logs every member that is not up yet
	})
}
