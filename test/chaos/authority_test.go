// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"postern.dev/postern/test/controlplane"
)

const (
	caSecretName   = "postern-ca"
	apiServiceName = "v1alpha1.postern.dev"
	serverName     = "postern." + controlplane.Namespace + ".svc"
)

func (c *cluster) caSecret(ctx context.Context) (*corev1.Secret, error) {
	return c.Kube.CoreV1().Secrets(controlplane.Namespace).Get(ctx, caSecretName, metav1.GetOptions{})
}

func (c *cluster) setCA(ctx context.Context, data map[string][]byte) error {
	secret, err := c.caSecret(ctx)
	if err != nil {
		return err
	}
	secret.Data = data
	_, err = c.Kube.CoreV1().Secrets(controlplane.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
	return err
}

func (c *cluster) deleteCA(ctx context.Context) error {
	return c.Kube.CoreV1().Secrets(controlplane.Namespace).Delete(ctx, caSecretName, metav1.DeleteOptions{})
}

// forgetCA deletes the Secret while no Postern runs.
func forgetCA(t *testing.T) {
	t.Helper()
	if err := shared.deleteCA(context.Background()); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

func (c *cluster) apiService(ctx context.Context) (*apiregistrationv1.APIService, error) {
	client, err := aggregator.NewForConfig(c.RESTConfig())
	if err != nil {
		return nil, err
	}
	return client.ApiregistrationV1().APIServices().Get(ctx, apiServiceName, metav1.GetOptions{})
}

func (c *cluster) deleteAPIService(ctx context.Context) error {
	client, err := aggregator.NewForConfig(c.RESTConfig())
	if err != nil {
		return err
	}
	return client.ApiregistrationV1().APIServices().Delete(ctx, apiServiceName, metav1.DeleteOptions{})
}

// setCABundle overwrites the caBundle, as a client unaware of Postern might.
func (c *cluster) setCABundle(ctx context.Context, caBundle []byte) error {
	client, err := aggregator.NewForConfig(c.RESTConfig())
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"caBundle": caBundle}})
	if err != nil {
		return err
	}
	_, err = client.ApiregistrationV1().APIServices().Patch(ctx, apiServiceName, types.MergePatchType, patch,
		metav1.PatchOptions{})
	return err
}

// served returns the serving certificate of a Postern.
func served(ctx context.Context, p *controlplane.Postern) (*x509.Certificate, error) {
	// the caller verifies it
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(p.Address(), "https://"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// isSignedBy returns an error unless leaf verifies against these CAs, as the kube-apiserver does it.
func isSignedBy(leaf *x509.Certificate, authorities []byte) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return errors.New("there is no CA certificate")
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: serverName})
	return err
}

// trusted returns an error unless the Secret and the caBundle agree, and the caBundle verifies the serving certificates
// of the Posterns.
func (c *cluster) trusted(ctx context.Context, posterns ...*controlplane.Postern) error {
	secret, err := c.caSecret(ctx)
	if err != nil {
		return err
	}
	apiService, err := c.apiService(ctx)
	if err != nil {
		return err
	}
	if len(secret.Data["ca.crt"]) == 0 || !bytes.Equal(secret.Data["ca.crt"], apiService.Spec.CABundle) {
		return fmt.Errorf("the caBundle is %q and the Secret has %q", apiService.Spec.CABundle, secret.Data["ca.crt"])
	}
	if !bytes.HasPrefix(secret.Data["ca.crt"], secret.Data["tls.crt"]) {
		return errors.New("the signing CA is not the first in the bundle")
	}
	for _, p := range posterns {
		leaf, err := served(ctx, p)
		if err != nil {
			return err
		}
		if err := isSignedBy(leaf, apiService.Spec.CABundle); err != nil {
			return fmt.Errorf("Postern's serving certificate is not trusted: %w", err)
		}
	}
	return nil
}

// rotated returns an error unless trusted does not, and all serve with a leaf of the current CA.
func (c *cluster) rotated(ctx context.Context, posterns ...*controlplane.Postern) error {
	if err := c.trusted(ctx, posterns...); err != nil {
		return err
	}
	secret, err := c.caSecret(ctx)
	if err != nil {
		return err
	}
	for _, p := range posterns {
		leaf, err := served(ctx, p)
		if err != nil {
			return err
		}
		if err := isSignedBy(leaf, secret.Data["tls.crt"]); err != nil {
			return fmt.Errorf("Postern's serving certificate is not signed by the CA in the Secret: %w", err)
		}
	}
	return nil
}

// foreignCA returns the data of a Secret with a CA that Postern has not generated.
func foreignCA(t *testing.T, from, to time.Time) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(from.UnixNano()), NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, err := certutil.EncodeCertificates(certificate)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"tls.crt": certPEM, "tls.key": keyPEM, "ca.crt": certPEM}
}
