// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"postern.dev/postern/test/certs"
)

// Options configure the location and the lifetime of a control plane.
type Options struct {
	// Dir holds the state: data, certificates, logs and the administrator's kubeconfig. Existing state is reused. If
	// empty, a temporary directory is used, which Stop removes.
	Dir string
	// Repository is the checkout that bin, manifests and artifacts are read from. If empty, it is the one that contains
	// the working directory.
	Repository string
	// AuditPolicy is the kube-apiserver's audit policy in YAML. If empty, everything is logged.
	AuditPolicy []byte
	// APIServerFlags are added to the flags of the kube-apiserver.
	APIServerFlags []string
	// Detached programs survive this process, until StopDetached is called for Dir. Otherwise they end with it.
	Detached bool
}

// ControlPlane is a running etcd and kube-apiserver. Methods are not safe for concurrent use unless documented.
type ControlPlane struct {
	dir         string
	temporary   bool
	repository  string
	detached    bool
	auditPolicy []byte
	extraFlags  []string

	pki         *pki
	port        *port
	posternPort *port
	etcd        *process
	apiServer   *process
	admin       *rest.Config
	// posternEtcd is the external etcd of the installation, nil until an installation needs it.
	posternEtcd *EtcdCluster
	// receiverPorts are the ports of the enabled classic receivers, by the name of the Postern.
	receiverPorts map[string]*port
}

// Start runs etcd and a kube-apiserver and returns once the latter is ready and has created its default roles. The
// error of a failed start includes the last log lines of the program that failed.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	c, err := prepare(o)
	if err != nil {
		return nil, fmt.Errorf("could not prepare a control plane: %w", err)
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("could not start the control plane: %w", err),
			c.Stop(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func prepare(o Options) (*ControlPlane, error) {
	repository, err := findRepository(o.Repository)
	if err != nil {
		return nil, err
	}
	dir, err := stateDir(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{
		repository: repository, dir: dir, temporary: o.Dir == "", detached: o.Detached, auditPolicy: o.AuditPolicy,
		extraFlags: o.APIServerFlags, receiverPorts: map[string]*port{},
	}
	if len(c.auditPolicy) == 0 {
		c.auditPolicy = auditPolicy
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.release())
	}
	return c, nil
}

func (c *ControlPlane) prepare() (err error) {
	if c.pki, err = loadPKI(c.path("pki")); err != nil {
		return err
	}
	if c.port, err = reservePort(c.path("kube-apiserver.port")); err != nil {
		return err
	}
	if c.posternPort, err = reservePort(c.path("postern.port")); err != nil {
		return err
	}
	if err := os.WriteFile(c.path(auditPolicyFile), c.auditPolicy, 0o600); err != nil {
		return err
	}
	if c.admin, err = c.UserConfig("admin", "system:masters"); err != nil {
		return err
	}
	flags, err := c.apiServerFlags()
	if err != nil {
		return err
	}
	c.etcd = c.newProcess("etcd", c.k8sBinary("etcd"), etcdFlags())
	c.apiServer = c.newProcess("kube-apiserver", c.k8sBinary("kube-apiserver"), append(flags, c.extraFlags...))
	return certs.WriteKubeconfig(c.AdminKubeconfig(), c.admin)
}

// release frees what prepare acquired.
func (c *ControlPlane) release() error {
	errs := []error{c.port.release(), c.posternPort.release()}
	for _, port := range c.receiverPorts {
		errs = append(errs, port.release())
	}
	if c.temporary {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

func (c *ControlPlane) start(ctx context.Context) error {
	if err := c.etcd.start(); err != nil {
		return err
	}
	if err := c.apiServer.start(); err != nil {
		return err
	}
	return c.waitFor(ctx, []*process{c.etcd, c.apiServer}, c.ready)
}

// Stop ends the kube-apiserver and etcd; stop Postern first. A temporary state directory is removed, so its programs
// are killed without a graceful shutdown.
func (c *ControlPlane) Stop(ctx context.Context) error {
	var err error
	if c.posternEtcd != nil {
		err = c.posternEtcd.Stop()
	}
	if c.temporary {
		return errors.Join(err, c.apiServer.kill(), c.etcd.kill(), c.release())
	}
	return errors.Join(err, c.apiServer.stop(ctx), c.etcd.stop(ctx), c.release())
}

// StopDetached ends the programs, including Postern, of the control plane that was started detached in dir. A program
// that has ended, or whose PID now belongs to another program, is left alone.
func StopDetached(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range []string{"postern", "kube-apiserver", "etcd"} {
		p := &process{name: name, stateDir: dir}
		p.record, err = readPIDFile(p.pidFile())
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, p.stop(ctx))
	}
	return errors.Join(errs...)
}

// waitFor polls until done returns true or ctx ends. It fails at once if one of the programs has died. The error
// includes the log of the dead program, or of the last one if all are alive.
func (c *ControlPlane) waitFor(ctx context.Context, programs []*process, done func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		for _, p := range programs {
			if !p.running() {
				return false, fmt.Errorf("%s has ended; %s", p.name, p.logTail())
			}
		}
		if err := done(ctx); ctx.Err() == nil {
			last = err
		}
		return last == nil && ctx.Err() == nil, nil
	})
	if err != nil && ctx.Err() != nil {
		p := programs[len(programs)-1]
		return fmt.Errorf("%s is not ready: %w; %s", p.name, errors.Join(err, last), p.logTail())
	}
	return err
}

func (c *ControlPlane) newProcess(name, path string, flags []string) *process {
	return &process{
		name: name, path: path, args: flags, stateDir: c.dir, detached: c.detached,
		// The caller's environment is not inherited: its settings for Postern must not affect a test.
		env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir},
	}
}

// Dir returns the state directory.
func (c *ControlPlane) Dir() string { return c.dir }

// PIDs returns the process IDs by program name, without Postern's.
func (c *ControlPlane) PIDs() map[string]int {
	return map[string]int{c.etcd.name: c.etcd.record.PID, c.apiServer.name: c.apiServer.record.PID}
}

// AuditLog returns the path of the kube-apiserver's audit log. Unless Options.AuditPolicy is set, it has every request
// with the bodies of request and response.
func (c *ControlPlane) AuditLog() string { return c.path("audit.log") }

func (c *ControlPlane) path(name string) string { return filepath.Join(c.dir, name) }

func stateDir(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "postern-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}
