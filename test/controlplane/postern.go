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

	"postern.dev/postern/test/certs"
)

// tokenValidity exceeds the lifetime of any local control plane.
const tokenValidity = 365 * 24 * time.Hour

// PosternOptions configure how Postern runs.
type PosternOptions struct {
	// Binary is the program. If empty, it is the variable POSTERN_BINARY, and by default bin/postern of the checkout.
	Binary string
	// Flags are added to those that connect Postern to the control plane.
	Flags []string
	// Env has NAME=value pairs; only PATH is inherited.
	Env []string
	// Etcd stores the deliveries; nil means the etcd embedded in Postern.
	Etcd *EtcdCluster
	// CertificateFiles makes Postern serve with a certificate from files instead of a generated one.
	CertificateFiles bool
}

// Postern is a running server. Methods are not safe for concurrent use unless documented.
type Postern struct {
	controlPlane *ControlPlane
	process      *process
	port         *port
	certificate  servingCertificate
	receiverPort *port // nil without a receiver
	// reach returns once requests reach this Postern.
	reach func(context.Context) error
}

// StartPostern runs the installed Postern as a node of a cluster would: with the arguments, the environment and the
// files of its StatefulSet, and the permissions of its ServiceAccount. It registers Postern and returns once requests
// reach it through the kube-apiserver. Its port and data directory belong to the control plane and are always the same.
// An installation with an external etcd gets a single-member one unless the options have one. A running Postern is
// stopped first.
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

// newPostern returns a Postern that is not started.
func (c *ControlPlane) newPostern(ctx context.Context, installed *workload, name string, port *port,
	o PosternOptions) (*Postern, error) {
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
	// A program built with the race detector exits at the first race, so that its test fails.
	p.process.env = slices.Concat(p.process.env, launch.env, []string{"GORACE=halt_on_error=1"}, o.Env)
	return p, nil
}

// Start restarts Postern after Stop or Kill and returns once requests reach it through the kube-apiserver.
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

// registerAlone points the kube-apiserver at the port of this Postern only.
func (p *Postern) registerAlone(ctx context.Context) error {
	if err := p.controlPlane.register(ctx, p.certificate); err != nil {
		return fmt.Errorf("could not register Postern: %w", err)
	}
	if err := p.controlPlane.waitFor(ctx, []*process{p.process}, p.controlPlane.available); err != nil {
		return fmt.Errorf("could not reach Postern through the kube-apiserver: %w", err)
	}
	return nil
}

// Stop shuts Postern down gracefully, as a cluster does, and returns when it is gone.
func (p *Postern) Stop(ctx context.Context) error { return p.process.stop(ctx) }

// Kill ends Postern with SIGKILL and returns when it is gone.
func (p *Postern) Kill() error { return p.process.kill() }

// Restart stops Postern and starts it with the same flags, port and data directory.
func (p *Postern) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.Start(ctx)
}

// Running reports whether the program is alive. It is safe for concurrent use with itself.
func (p *Postern) Running() bool { return p.process.running() }

// PID returns the process ID, 0 if Postern was stopped.
func (p *Postern) PID() int { return p.process.record.PID }

// Program returns the path of the executable.
func (p *Postern) Program() string { return p.process.path }

// LogFile returns the path of Postern's log. Restarts append to it.
func (p *Postern) LogFile() string { return p.process.logFile() }

// LogTail returns the last lines of the log, for failure reports.
func (p *Postern) LogTail() string { return p.process.logTail() }

// Address returns the URL of Postern's own port. There Postern trusts user headers only from the kube-apiserver; direct
// callers can read health and metrics.
func (p *Postern) Address() string { return "https://127.0.0.1:" + p.port.String() }

// DirectConfig returns a configuration for Address with the administrator's certificate, which Postern accepts because
// the kube-apiserver vouches for it. Like a kubelet, it does not verify Postern's certificate, which may change between
// requests; the kube-apiserver, through which all other callers connect, verifies it.
func (p *Postern) DirectConfig() *rest.Config {
	config := p.controlPlane.RESTConfig()
	config.Host = p.Address()
	config.CAData, config.Insecure = nil, true
	return config
}

// RenewCertificateFiles replaces the certificate and key of PosternOptions.CertificateFiles by new ones of the same CA.
func (c *ControlPlane) RenewCertificateFiles() error {
	template := certs.ServingTemplate(posternServerName, posternServerName)
	if err := c.pki.renew(posternCA, posternCert, template); err != nil {
		return fmt.Errorf("could not renew Postern's certificate: %w", err)
	}
	return nil
}

// ready returns nil if Postern reports itself ready.
func (p *Postern) ready(ctx context.Context) error {
	return readyz(ctx, p.DirectConfig())
}

func (c *ControlPlane) posternFlags(port *port) []string {
	kubeconfig := c.posternKubeconfig()
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + port.String(),
		"--permit-port-sharing=true", // shared with our reservation of the port
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
	return certs.WriteKubeconfig(c.posternKubeconfig(), config)
}
