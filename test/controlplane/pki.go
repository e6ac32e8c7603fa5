// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/util/keyutil"

	"postern.dev/postern/test/certs"
)

// Names of the file pairs NAME.crt and NAME.key in the pki directory.
const (
	clusterCA      = "ca"                 // signs the certificates of the kube-apiserver and its users
	apiServerCert  = "kube-apiserver"     // served by the kube-apiserver
	frontProxyCA   = "front-proxy-ca"     // signs only frontProxyCert, which can act as any user
	frontProxyCert = "front-proxy-client" // presented by the kube-apiserver to Postern
	posternCA      = "postern-ca"         // the APIService's caBundle
	posternCert    = "postern"            // served by Postern
	tokenKey       = "service-account"    // signs ServiceAccount tokens; has no certificate

	// These are in a separate directory.
	etcdCA   = "ca"   // signs only etcdCert
	etcdCert = "etcd" // between members of an EtcdCluster, and between them and Postern
)

// frontProxyUser is the common name for which Postern trusts the X-Remote headers of a request.
const frontProxyUser = "front-proxy-client"

// posternServerName is the name that the kube-apiserver verifies in Postern's certificate.
const posternServerName = serviceName + "." + Namespace + ".svc"

// pki is a directory of certificates and keys, and the CA that signs further users.
type pki struct {
	dir     string
	cluster *certs.Authority
}

// loadPKI reads dir, and creates it first if it does not exist.
func loadPKI(dir string) (*pki, error) {
	p := &pki{dir: dir}
	if err := p.createOnce((*pki).create); err != nil {
		return nil, err
	}
	certPEM, err := os.ReadFile(p.cert(clusterCA))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(p.key(clusterCA))
	if err != nil {
		return nil, err
	}
	if p.cluster, err = certs.ParseAuthority(certPEM, keyPEM); err != nil {
		return nil, fmt.Errorf("could not read the certificate authority in %s: %w", dir, err)
	}
	return p, nil
}

func (p *pki) cert(name string) string { return filepath.Join(p.dir, name+".crt") }
func (p *pki) key(name string) string  { return filepath.Join(p.dir, name+".key") }

// loadEtcdPKI returns the certificates of an EtcdCluster, and creates dir first if it does not exist.
func loadEtcdPKI(dir string) (*pki, error) {
	p := &pki{dir: dir}
	return p, p.createOnce(func(p *pki) error { return p.createPair(etcdCA, etcdCert, certs.PeerTemplate("etcd")) })
}

// createOnce fills a temporary directory and renames it, so that the directory is complete or absent. An existing
// directory is left alone.
func (p *pki) createOnce(fill func(*pki) error) error {
	if _, err := os.Stat(p.dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	unfinished := &pki{dir: p.dir + ".new"}
	err := os.RemoveAll(unfinished.dir)
	if err == nil {
		err = os.MkdirAll(unfinished.dir, 0o700)
	}
	if err == nil {
		err = fill(unfinished)
	}
	if err == nil {
		err = os.Rename(unfinished.dir, p.dir)
	}
	if err != nil {
		return fmt.Errorf("could not create the certificates: %w", err)
	}
	return nil
}

func (p *pki) create() error {
	return errors.Join(
		p.createPair(clusterCA, apiServerCert, certs.ServingTemplate("kube-apiserver", "kubernetes.default.svc")),
		p.createPair(frontProxyCA, frontProxyCert, certs.ClientTemplate(frontProxyUser)),
		p.createPair(posternCA, posternCert, certs.ServingTemplate(posternServerName, posternServerName)),
		p.createTokenKey(),
	)
}

// createPair writes a new CA and its only certificate.
func (p *pki) createPair(caName, leafName string, leaf *x509.Certificate) error {
	ca, err := certs.NewAuthority(caName)
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := ca.PEM()
	if err != nil {
		return err
	}
	if err := p.write(caName, certPEM, keyPEM); err != nil {
		return err
	}
	if certPEM, keyPEM, err = ca.Issue(leaf); err != nil {
		return err
	}
	return p.write(leafName, certPEM, keyPEM)
}

// renew replaces a certificate and its key by new ones of the same CA. Each file is replaced atomically.
func (p *pki) renew(caName, leafName string, leaf *x509.Certificate) error {
	certPEM, err := os.ReadFile(p.cert(caName))
	if err != nil {
		return err
	}
	keyPEM, err := os.ReadFile(p.key(caName))
	if err != nil {
		return err
	}
	ca, err := certs.ParseAuthority(certPEM, keyPEM)
	if err != nil {
		return err
	}
	if certPEM, keyPEM, err = ca.Issue(leaf); err != nil {
		return err
	}
	unfinished := leafName + ".new"
	return errors.Join(
		p.write(unfinished, certPEM, keyPEM),
		os.Rename(p.cert(unfinished), p.cert(leafName)),
		os.Rename(p.key(unfinished), p.key(leafName)),
	)
}

func (p *pki) createTokenKey() error {
	keyPEM, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	return os.WriteFile(p.key(tokenKey), keyPEM, 0o600)
}

func (p *pki) write(name string, certPEM, keyPEM []byte) error {
	return errors.Join(
		os.WriteFile(p.cert(name), certPEM, 0o600),
		os.WriteFile(p.key(name), keyPEM, 0o600),
	)
}
