// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/x509"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/keyutil"

	"postern.dev/postern/test/certs"
)

// credentials are the certificates of a cluster, in files NAME.crt and NAME.key.
type credentials struct {
	dir     string
	cluster *certs.Authority
}

func newCredentials(dir string) (*credentials, error) {
	c := &credentials{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	server := certs.ServingTemplate("kube-apiserver", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local")
	server.IPAddresses = append(server.IPAddresses, net.ParseIP(firstAddress), net.ParseIP(firstService))
	var err error
	if c.cluster, err = c.authority("ca"); err != nil {
		return nil, err
	}
	if err := c.issue(c.cluster, "kube-apiserver", server); err != nil {
		return nil, err
	}
	toKubelets := certs.ClientTemplate("kube-apiserver", "system:masters")
	if err := c.issue(c.cluster, "kubelet-client", toKubelets); err != nil {
		return nil, err
	}
	frontProxy, err := c.authority("front-proxy-ca")
	if err != nil {
		return nil, err
	}
	if err := c.issue(frontProxy, "front-proxy-client", certs.ClientTemplate("front-proxy-client")); err != nil {
		return nil, err
	}
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return nil, err
	}
	return c, os.WriteFile(c.key("service-account"), key, 0o600)
}

// authority creates a CA and its files.
func (c *credentials) authority(name string) (*certs.Authority, error) {
	a, err := certs.NewAuthority(name)
	if err != nil {
		return nil, err
	}
	certPEM, keyPEM, err := a.PEM()
	if err != nil {
		return nil, err
	}
	return a, c.write(name, certPEM, keyPEM)
}

func (c *credentials) issue(a *certs.Authority, name string, template *x509.Certificate) error {
	certPEM, keyPEM, err := a.Issue(template)
	if err != nil {
		return err
	}
	return c.write(name, certPEM, keyPEM)
}

func (c *credentials) write(name string, certPEM, keyPEM []byte) error {
	if err := os.WriteFile(c.cert(name), certPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.key(name), keyPEM, 0o600)
}

// client returns the configuration of a client of the kube-apiserver with a certificate for the user and groups.
func (c *credentials) client(user string, groups ...string) (*rest.Config, error) {
	config, err := c.anonymous()
	if err != nil {
		return nil, err
	}
	config.CertData, config.KeyData, err = c.cluster.Issue(certs.ClientTemplate(user, groups...))
	return config, err
}

func (c *credentials) anonymous() (*rest.Config, error) {
	ca, err := os.ReadFile(c.cert("ca"))
	return &rest.Config{
		Host: "https://" + net.JoinHostPort(firstAddress, apiServerPort), QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: ca},
	}, err
}

// kubeconfig writes the configuration of a client and returns the path.
func (c *credentials) kubeconfig(name, user string, groups ...string) (string, error) {
	config, err := c.client(user, groups...)
	if err != nil {
		return "", err
	}
	path := filepath.Join(c.dir, name+".kubeconfig")
	return path, certs.WriteKubeconfig(path, config)
}

func (c *credentials) cert(name string) string { return filepath.Join(c.dir, name+".crt") }
func (c *credentials) key(name string) string  { return filepath.Join(c.dir, name+".key") }
