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
)

// Options say where a control plane lives and for how long.
type Options struct {
	// Dir holds the state: data, certificates, logs, the administrator's kubeconfig. What an earlier control plane left
	// there is used again. Empty means a temporary directory that Stop removes.
	Dir string
	// Repository is the checkout whose bin, manifests and artifacts are used; empty means the one around the working
	// directory.
	Repository string
	// AuditPolicy is the policy of the kube-apiserver's audit log, in YAML; empty means one that logs all there is.
	AuditPolicy []byte
	// Detached programs live on when this process ends, until StopDetached is called for Dir. Others die with it.
	Detached bool
}

// ControlPlane is a running etcd and kube-apiserver. Its methods are not safe for concurrent use unless they say so.
type ControlPlane struct {
	dir        string
	temporary  bool
	repository string
	detached   bool
	// auditPolicy is in YAML.
	auditPolicy []byte

	pki         *pki
	port        *port
	posternPort *port
	etcd        *process
	apiServer   *process
	admin       *rest.Config
	// posternEtcd is what an installation with an external etcd gets, once it is needed.
	posternEtcd *EtcdCluster
	// receiverPorts are those of the classic receivers that were enabled, by the names of their Posterns.
	receiverPorts map[string]*port
}

// Start runs etcd and a kube-apiserver and returns once it is ready and has made its default roles. The error of a
// failed start shows the last lines of the log of the program that failed.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	c, err := prepare(o)
	if err != nil {
		return nil, fmt.Errorf("could not prepare a control plane: %w", err)
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("could not start the control plane: %w", err), c.Stop(context.WithoutCancel(ctx)))
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
		receiverPorts: map[string]*port{},
	}
	if len(c.auditPolicy) == 0 {
		c.auditPolicy = auditPolicy
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.release())
	}
	return c, nil
}

// prepare makes everything that the programs find when they start.
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
	c.etcd = c.newProcess("etcd", c.k8sBinary("etcd"), etcdFlags())
	c.apiServer = c.newProcess("kube-apiserver", c.k8sBinary("kube-apiserver"), c.apiServerFlags())
	return writeKubeconfig(c.AdminKubeconfig(), c.admin)
}

// release gives back what prepare took.
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

// Stop ends the kube-apiserver and etcd; Postern should have been stopped before. State in a temporary directory is
// removed, and so its programs are not given the time to end in good order.
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

// StopDetached ends the programs, Postern too, of the control plane that was started detached in dir. A program that
// has ended already, or whose number now belongs to another program, is left alone.
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

// waitFor polls until done says so or ctx ends, and gives up at once when one of the programs has died.
// The error shows the log of the dead program, or else of the last one.
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
		// Nothing else is inherited: settings of Postern that the caller happens to have must not change a test.
		env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir},
	}
}

// Dir is the state directory.
func (c *ControlPlane) Dir() string { return c.dir }

// PIDs are the numbers of the processes by their names, Postern's not among them.
func (c *ControlPlane) PIDs() map[string]int {
	return map[string]int{c.etcd.name: c.etcd.record.PID, c.apiServer.name: c.apiServer.record.PID}
}

// AuditLog is the path of the kube-apiserver's audit log: every request, with the bodies of request and response unless
// Options say otherwise.
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
