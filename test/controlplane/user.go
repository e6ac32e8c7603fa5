// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"postern.dev/postern/test/certs"
)

// Address returns the URL of the kube-apiserver.
func (c *ControlPlane) Address() string { return "https://127.0.0.1:" + c.port.String() }

// RESTConfig returns the administrator's configuration, without a client-side rate limit.
func (c *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(c.admin) }

// UserConfig returns a configuration with a client certificate for the user and groups. RBAC decides what the user may
// do. It is safe for concurrent use.
func (c *ControlPlane) UserConfig(user string, groups ...string) (*rest.Config, error) {
	config, err := c.AnonymousConfig()
	if err != nil {
		return nil, err
	}
	config.CertData, config.KeyData, err = c.pki.cluster.Issue(certs.ClientTemplate(user, groups...))
	return config, err
}

// TokenConfig returns a configuration with a bearer token, such as a ServiceAccount's. It is safe for concurrent use.
func (c *ControlPlane) TokenConfig(token string) (*rest.Config, error) {
	config, err := c.AnonymousConfig()
	if err != nil {
		return nil, err
	}
	config.BearerToken = token
	return config, nil
}

// AnonymousConfig returns a configuration without credentials. It is safe for concurrent use.
func (c *ControlPlane) AnonymousConfig() (*rest.Config, error) {
	ca, err := os.ReadFile(c.CAFile())
	if err != nil {
		return nil, err
	}
	return &rest.Config{Host: c.Address(), QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}, nil
}

// CAFile returns the path of the CA that verifies the kube-apiserver's certificate.
func (c *ControlPlane) CAFile() string { return c.pki.cert(clusterCA) }

// AdminKubeconfig returns the path of the administrator's kubeconfig.
func (c *ControlPlane) AdminKubeconfig() string { return c.path("kubeconfig") }

// Kubeconfig writes a kubeconfig for the user and groups and returns its path.
func (c *ControlPlane) Kubeconfig(user string, groups ...string) (string, error) {
	config, err := c.UserConfig(user, groups...)
	if err != nil {
		return "", err
	}
	path := c.path(filepath.Base(user) + ".kubeconfig")
	return path, certs.WriteKubeconfig(path, config)
}

// ServiceAccountToken creates the ServiceAccount if it is missing and returns a token with the given validity (at least
// ten minutes). It is safe for concurrent use.
func (c *ControlPlane) ServiceAccountToken(ctx context.Context, namespace, name string, valid time.Duration) (string,
	error) {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return "", err
	}
	accounts := client.CoreV1().ServiceAccounts(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("could not create ServiceAccount %s/%s: %w", namespace, name, err)
	}
	seconds := int64(valid.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := accounts.CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("could not get a token for ServiceAccount %s/%s: %w", namespace, name, err)
	}
	return answer.Status.Token, nil
}
