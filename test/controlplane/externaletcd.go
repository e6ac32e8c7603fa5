// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
)

// etcdClientVolume is the volume with an installation's client certificate for an external etcd.
const etcdClientVolume = "etcd-client"

// provideEtcd starts a single-member etcd if the installation uses an external one, and creates the Secret with
// Postern's client certificate.
func (c *ControlPlane) provideEtcd(ctx context.Context) error {
	installed, err := c.installedWorkload(ctx)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || !installed.wantsEtcd() || c.posternEtcd != nil {
		return err
	}
	if c.posternEtcd, err = c.StartEtcdCluster(ctx, 1); err != nil {
		return err
	}
	return c.applyEtcdSecret(ctx, installed, c.posternEtcd)
}

func (w *workload) wantsEtcd() bool {
	for _, container := range w.set.Spec.Template.Spec.Containers {
		if slices.ContainsFunc(container.Args, func(arg string) bool {
			return strings.HasPrefix(arg, "--etcd-servers=")
		}) {
			return true
		}
	}
	return false
}

// applyEtcdSecret writes the certificate to the Secret of the installation's volume.
func (c *ControlPlane) applyEtcdSecret(ctx context.Context, installed *workload, etcd *EtcdCluster) error {
	volumes := installed.set.Spec.Template.Spec.Volumes
	i := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == etcdClientVolume && v.Secret != nil })
	if i < 0 {
		return errors.New("the installation has no volume " + etcdClientVolume)
	}
	data := map[string][]byte{}
	for key, file := range map[string]string{
		"ca.crt":                etcd.pki.cert(etcdCA),
		corev1.TLSCertKey:       etcd.pki.cert(etcdCert),
		corev1.TLSPrivateKeyKey: etcd.pki.key(etcdCert),
	} {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		data[key] = content
	}
	secret := corev1apply.Secret(volumes[i].Secret.SecretName,
		installed.set.Namespace).WithType(corev1.SecretTypeTLS).WithData(data)
	_, err := installed.kube.CoreV1().Secrets(installed.set.Namespace).Apply(ctx, secret, applyOptions())
	return err
}

// storageFlags point Postern at the installation's etcd, at the given one, or at the embedded one.
func (c *ControlPlane) storageFlags(ctx context.Context, installed *workload, given *EtcdCluster) ([]string, error) {
	switch {
	case !installed.wantsEtcd() && given == nil:
		return []string{"--data-dir=" + c.dataDir()}, nil
	case !installed.wantsEtcd():
		return append(given.certificateFlags(), given.serversFlag()), nil
	case given == nil:
		return []string{c.posternEtcd.serversFlag()}, nil
	}
	// The certificate is mounted from the installation's own volume.
	return []string{given.serversFlag()}, c.applyEtcdSecret(ctx, installed, given)
}

// dataDir is the data directory of the embedded etcd.
func (c *ControlPlane) dataDir() string { return c.path("postern-data") }

// EtcdIsOutside reports whether the installation stores deliveries in an external etcd.
func (c *ControlPlane) EtcdIsOutside() bool { return c.posternEtcd != nil }

// EtcdDir returns the data directory of the installation's etcd, embedded or external.
func (c *ControlPlane) EtcdDir() string {
	if c.posternEtcd == nil {
		return c.dataDir()
	}
	return c.posternEtcd.members[0].process.stateDir
}

// EtcdClient returns a client of the installation's etcd. The caller closes it.
func (c *ControlPlane) EtcdClient(ctx context.Context) (*clientv3.Client, error) {
	if c.posternEtcd != nil {
		return c.posternEtcd.members[0].client(ctx)
	}
	socket := "unix://" + filepath.Join(c.dataDir(), "client.sock")
	return clientv3.New(clientv3.Config{Context: ctx, Endpoints: []string{socket}, Logger: zap.NewNop()})
}
