// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/client-go/rest"
)

// tokenValidity is longer than anyone leaves a local control plane up.
const tokenValidity = 365 * 24 * time.Hour

// PosternOptions say how to run Postern.
type PosternOptions struct {
	// Binary is the program; empty means what the variable POSTERN_BINARY names, or else bin/postern of the checkout.
	Binary string
	// Flags are added to those that connect Postern to the control plane.
	Flags []string
	// Env holds NAME=value pairs; nothing is inherited but PATH.
	Env []string
	// Etcd keeps the deliveries; nil means the etcd that is embedded in Postern.
	Etcd *EtcdCluster
	// CertificateFiles makes Postern serve with a certificate from files, and not with one that it makes itself.
	CertificateFiles bool
}

// Postern is a running server. Its methods are not safe for concurrent use unless they say so.
type Postern struct {
	controlPlane *ControlPlane
	process      *process
	port         *port
	certificate  servingCertificate
	receiverPort *port // nil without a receiver
	// reach returns once the requests that are meant for a Postern that is ready come to it.
	reach func(context.Context) error
}

// StartPostern runs what has been installed, as a node of a cluster would: Postern with the arguments, the environment
// and the files of its StatefulSet, and with the permissions of its ServiceAccount. It registers it, and returns once
// requests reach it through the kube-apiserver. Its port and its data directory belong to the control plane: they are the
// same each time. An installation that wants an external etcd gets one of a single member, unless the options have one. A
// Postern that still runs is stopped.
func (c *ControlPlane) StartPostern(ctx context.Context, o PosternOptions) (*Postern, error) {
	installed, err := c.installedWorkload(ctx)
	if err != nil {
		return nil, err
	}
	p, err := c.newPostern(ctx, installed, "postern", c.posternPort, o)
	if err != nil {
		return nil, err
	}
	p.reach = func(ctx context.Context) error {
		if err := p.registerAlone(ctx); err != nil {
			return err
		}
		return installed.reportReady(ctx, 1)
	}
	if err := p.process.stopEarlierRun(ctx); err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

// newPostern returns a Postern that does not run yet.
func (c *ControlPlane) newPostern(ctx context.Context, installed *workload, name string, port *port, o PosternOptions) (*Postern, error) {
	if o.Binary == "" {
		o.Binary = cmp.Or(os.Getenv("POSTERN_BINARY"), filepath.Join(c.repository, "bin", "postern"))
	}
	if err := c.writePosternKubeconfig(ctx, installed.set.Spec.Template.Spec.ServiceAccountName); err != nil {
		return nil, fmt.Errorf("could not make Postern's kubeconfig: %w", err)
	}
	storage, err := c.storageFlags(ctx, installed, o.Etcd)
	if err != nil {
		return nil, fmt.Errorf("could not provide the storage: %w", err)
	}
	launch, err := installed.launch(ctx, name, c.path(filepath.Join("volumes", name)))
	if err != nil {
		return nil, err
	}
	certificate := c.certificateOf(o)
	launch.override(c.posternFlags(port)...)
	launch.override(certificate.flags...)
	launch.override(storage...)
	receiver, err := c.enableReceiver(launch, name, o)
	if err != nil {
		return nil, fmt.Errorf("could not keep a port for the receiver: %w", err)
	}
	launch.override(o.Flags...)
	p := &Postern{
		controlPlane: c, port: port, certificate: certificate, receiverPort: receiver,
		process: c.newProcess(name, o.Binary, launch.args),
	}
	// A program that was built with the race detector ends at the first race, and the test that needs it fails.
	p.process.env = slices.Concat(p.process.env, launch.env, []string{"GORACE=halt_on_error=1"}, o.Env)
	return p, nil
}

// Start runs Postern again after Stop or Kill and returns once requests reach it through the kube-apiserver.
func (p *Postern) Start(ctx context.Context) error {
	for {
		logged := p.process.logSize()
		if err := p.process.start(); err != nil {
			return err
		}
		err := p.controlPlane.waitFor(ctx, []*process{p.process}, p.ready)
		if err == nil {
			return p.reach(ctx)
		}
		if p.Running() || !endedByFrameworkRace(p.LogFile(), logged) {
			return fmt.Errorf("could not start Postern: %w", err)
		}
	}
}

// registerAlone points the kube-apiserver at the port of this Postern and no other.
func (p *Postern) registerAlone(ctx context.Context) error {
	if err := p.controlPlane.register(ctx, p.certificate); err != nil {
		return fmt.Errorf("could not register Postern: %w", err)
	}
	if err := p.controlPlane.waitFor(ctx, []*process{p.process}, p.controlPlane.available); err != nil {
		return fmt.Errorf("could not reach Postern through the kube-apiserver: %w", err)
	}
	return nil
}

// Stop asks Postern to end, as a cluster does, and returns when it is gone.
func (p *Postern) Stop(ctx context.Context) error { return p.process.stop(ctx) }

// Kill ends Postern without a chance to finish anything, and returns when it is gone.
func (p *Postern) Kill() error { return p.process.kill() }

// Restart stops Postern and starts it with the same flags, port and data directory.
func (p *Postern) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.Start(ctx)
}

// Running tells whether the program is alive. It is safe for concurrent use with itself.
func (p *Postern) Running() bool { return p.process.running() }

// PID is the number of the process, 0 if it has been stopped.
func (p *Postern) PID() int { return p.process.record.PID }

// Program is the path of the program that runs.
func (p *Postern) Program() string { return p.process.path }

// LogFile is the path of Postern's log; a restart appends to it.
func (p *Postern) LogFile() string { return p.process.logFile() }

// LogTail returns the last lines of the log, for the report of a failure.
func (p *Postern) LogTail() string { return p.process.logTail() }

// Address is the URL at which Postern itself listens. Only the kube-apiserver is believed there about who calls;
// health and metrics may be asked for.
func (p *Postern) Address() string { return "https://127.0.0.1:" + p.port.String() }

// DirectConfig returns a configuration for Address with the administrator's certificate, which Postern has the
// kube-apiserver's word for. Postern's certificate is not verified, as a kubelet does not: it may be another one by the next
// request, and the kube-apiserver, through which all others come, verifies it.
func (p *Postern) DirectConfig() *rest.Config {
	config := p.controlPlane.RESTConfig()
	config.Host = p.Address()
	config.CAData, config.Insecure = nil, true
	return config
}

// RenewCertificateFiles replaces the certificate of PosternOptions.CertificateFiles, and its key, by new ones of the same CA.
func (c *ControlPlane) RenewCertificateFiles() error {
	if err := c.pki.renew(posternCA, posternCert, servingTemplate(posternServerName, posternServerName)); err != nil {
		return fmt.Errorf("could not renew Postern's certificate: %w", err)
	}
	return nil
}

// ready returns nil if Postern says of itself that it is.
func (p *Postern) ready(ctx context.Context) error {
	return readyz(ctx, p.DirectConfig())
}

func (c *ControlPlane) posternFlags(port *port) []string {
	kubeconfig := c.posternKubeconfig()
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + port.String(),
		"--permit-port-sharing=true", // with our reservation of the port
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"-v=2",
	}
}

func (c *ControlPlane) posternKubeconfig() string { return c.path("postern.kubeconfig") }

func (c *ControlPlane) writePosternKubeconfig(ctx context.Context, serviceAccount string) error {
	token, err := c.ServiceAccountToken(ctx, Namespace, serviceAccount, tokenValidity)
	if err != nil {
		return err
	}
	config, err := c.TokenConfig(token)
	if err != nil {
		return err
	}
	return writeKubeconfig(c.posternKubeconfig(), config)
}
