// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const auditPolicyFile = "audit-policy.yaml"

// auditPolicy logs everything there is to log, so that a test can look for what must never be in an audit log.
//
//go:embed audit-policy.yaml
var auditPolicy []byte

func (c *ControlPlane) apiServerFlags() ([]string, error) {
	flags := []string{
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none", // the others refuse to advertise a loopback address
		"--secure-port=" + c.port.String(),
		"--permit-port-sharing=true", // shared with our reservation of the port
		"--etcd-servers=" + etcdSocket,
		"--service-cluster-ip-range=10.96.0.0/24",
		"--shutdown-watch-termination-grace-period=1s", // otherwise a shutdown waits a minute for Postern's watches

		"--tls-cert-file=" + c.pki.cert(apiServerCert),
		"--tls-private-key-file=" + c.pki.key(apiServerCert),
		"--client-ca-file=" + c.pki.cert(clusterCA),
		"--anonymous-auth=true",
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pki.key(tokenKey),
		"--service-account-signing-key-file=" + c.pki.key(tokenKey),

		// Aggregation: how the kube-apiserver authenticates to Postern and passes the user on.
		"--proxy-client-cert-file=" + c.pki.cert(frontProxyCert),
		"--proxy-client-key-file=" + c.pki.key(frontProxyCert),
		"--requestheader-client-ca-file=" + c.pki.cert(frontProxyCA),
		"--requestheader-allowed-names=" + frontProxyUser,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",

		"--audit-policy-file=" + c.path(auditPolicyFile),
		"--audit-log-path=" + c.AuditLog(),
		"--audit-log-maxsize=512", // megabytes; one file holds all logs of a test
		"--audit-log-maxbackup=1",
	}
	// Kubernetes has this flag since 1.32.
	known, err := c.apiServerHasFlag("--requestheader-uid-headers")
	if known {
		flags = append(flags, "--requestheader-uid-headers=X-Remote-Uid")
	}
	return flags, err
}

// apiServerHasFlag reports whether the kube-apiserver has the flag.
func (c *ControlPlane) apiServerHasFlag(name string) (bool, error) {
	help, err := exec.Command(c.k8sBinary("kube-apiserver"), "--help").Output()
	if err != nil {
		return false, fmt.Errorf("could not get the flags of the kube-apiserver: %w", err)
	}
	return strings.Contains(string(help), name+" "), nil
}

// StopAPIServer shuts the kube-apiserver down and returns when it is gone. Postern and etcd keep running.
func (c *ControlPlane) StopAPIServer(ctx context.Context) error { return c.apiServer.stop(ctx) }

// KillAPIServer ends the kube-apiserver with SIGKILL and returns when it is gone.
func (c *ControlPlane) KillAPIServer() error { return c.apiServer.kill() }

// StartAPIServer restarts the kube-apiserver after StopAPIServer or KillAPIServer, with the same port and data, and
// returns once it is ready. It does not wait for Postern; see WaitForPostern.
func (c *ControlPlane) StartAPIServer(ctx context.Context) error {
	if err := c.apiServer.start(); err != nil {
		return err
	}
	if err := c.waitFor(ctx, []*process{c.apiServer}, c.ready); err != nil {
		return fmt.Errorf("could not start the kube-apiserver again: %w", err)
	}
	return nil
}

// RestartAPIServer shuts the kube-apiserver down and starts it again with the given flags in place of
// Options.APIServerFlags.
func (c *ControlPlane) RestartAPIServer(ctx context.Context, extraFlags ...string) error {
	flags, err := c.apiServerFlags()
	if err != nil {
		return err
	}
	if err := c.apiServer.stop(ctx); err != nil {
		return err
	}
	c.apiServer.args = append(flags, extraFlags...)
	return c.StartAPIServer(ctx)
}

// WaitForPostern returns once requests reach Postern through the kube-apiserver. It does not speed that up.
func (c *ControlPlane) WaitForPostern(ctx context.Context) error {
	if err := c.waitFor(ctx, []*process{c.apiServer}, c.available); err != nil {
		return fmt.Errorf("could not reach Postern through the kube-apiserver: %w", err)
	}
	return nil
}

// PauseEtcd suspends the kube-apiserver's etcd: requests that need it hang until ResumeEtcd.
func (c *ControlPlane) PauseEtcd() error { return c.etcd.signal(syscall.SIGSTOP) }

// ResumeEtcd resumes etcd after PauseEtcd.
func (c *ControlPlane) ResumeEtcd() error { return c.etcd.signal(syscall.SIGCONT) }

// ready returns nil once the kube-apiserver answers /readyz, which includes the default roles, and has published what
// Postern needs to authenticate proxied callers.
func (c *ControlPlane) ready(ctx context.Context) error {
	if err := readyz(ctx, c.admin); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	published, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).
		Get(ctx, "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if published.Data["requestheader-client-ca-file"] == "" {
		return errors.New("the front proxy's certificate authority is not published yet")
	}
	return nil
}

// readyz returns nil if the server at the configuration's host is ready.
func readyz(ctx context.Context, config *rest.Config) error {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}
