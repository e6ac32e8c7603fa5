// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	apiregistrationv1apply "k8s.io/kube-aggregator/pkg/client/applyconfiguration/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"postern.dev/postern/test/certs"
)

// certManagerManager is the field manager of cert-manager's writes.
const certManagerManager = "cert-manager"

// injectAnnotation on an APIService names, as namespace/name, the Certificate whose CA cert-manager injects.
// https://cert-manager.io/docs/concepts/ca-injector/
const injectAnnotation = "cert-manager.io/inject-ca-from"

var certificates = schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "certificates"}

// issueCertificates stands in for cert-manager: it creates the Secret of each Certificate and injects the CA into the
// APIService. Existing Secrets are left alone.
func (c *ControlPlane) issueCertificates(ctx context.Context) error {
	objects, err := dynamic.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	wanted, err := objects.Resource(certificates).Namespace(Namespace).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil // the CRD is not installed, so nothing asks for a certificate
	}
	if err != nil {
		return err
	}
	for _, certificate := range wanted.Items {
		if isCA, _, _ := unstructured.NestedBool(certificate.Object, "spec", "isCA"); isCA {
			continue
		}
		if err := c.issueCertificate(ctx, &certificate); err != nil {
			return fmt.Errorf("could not issue the certificate %s: %w", certificate.GetName(), err)
		}
	}
	return nil
}

func (c *ControlPlane) issueCertificate(ctx context.Context, wanted *unstructured.Unstructured) error {
	kube, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	name, _, _ := unstructured.NestedString(wanted.Object, "spec", "secretName")
	secrets := kube.CoreV1().Secrets(wanted.GetNamespace())
	secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		dnsNames, _, _ := unstructured.NestedStringSlice(wanted.Object, "spec", "dnsNames")
		var data map[string][]byte
		if data, err = newServingSecret(dnsNames); err != nil {
			return err
		}
		secret, err = secrets.Apply(ctx, corev1apply.Secret(name,
			wanted.GetNamespace()).WithType(corev1.SecretTypeTLS).WithData(data),
			metav1.ApplyOptions{FieldManager: certManagerManager})
	}
	if err != nil {
		return err
	}
	return c.injectCA(ctx, wanted.GetNamespace()+"/"+wanted.GetName(), secret.Data["ca.crt"])
}

// newServingSecret returns a certificate for exactly the given names, and the CA certificate that verifies it.
func newServingSecret(dnsNames []string) (map[string][]byte, error) {
	ca, err := certs.NewAuthority("cert-manager")
	if err != nil {
		return nil, err
	}
	caPEM, _, err := ca.PEM()
	if err != nil {
		return nil, err
	}
	certPEM, keyPEM, err := ca.Issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: strings.Join(dnsNames[:1], "")},
		DNSNames:    dnsNames,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"ca.crt": caPEM, corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM}, nil
}

// injectCA writes the CA into the APIService if its annotation names this certificate.
func (c *ControlPlane) injectCA(ctx context.Context, certificate string, caBundle []byte) error {
	client, err := aggregator.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	apiServices := client.ApiregistrationV1().APIServices()
	installed, err := apiServices.Get(ctx, apiServiceName, metav1.GetOptions{})
	if err != nil || installed.Annotations[injectAnnotation] != certificate {
		return err
	}
	injected := apiregistrationv1apply.APIService(apiServiceName).WithSpec(apiregistrationv1apply.APIServiceSpec().
		WithGroupPriorityMinimum(installed.Spec.GroupPriorityMinimum).
		WithVersionPriority(installed.Spec.VersionPriority).
		WithCABundle(caBundle...))
	_, err = apiServices.Apply(ctx, injected, metav1.ApplyOptions{FieldManager: certManagerManager})
	return err
}
