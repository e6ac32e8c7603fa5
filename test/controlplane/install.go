// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	apiregistrationv1apply "k8s.io/kube-aggregator/pkg/client/applyconfiguration/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

const (
	// Namespace is the namespace of the installation.
	Namespace            = "postern-system"
	apiGroup, apiVersion = "postern.dev", "v1alpha1"
	apiServiceName       = apiVersion + "." + apiGroup
	serviceName          = "postern"
	fieldManager         = "postern-local"
)

// establishTimeout allows for a machine that is busy with other tests.
const establishTimeout = time.Minute

// installVariable names what Install applies: a kustomize directory of the checkout, or a YAML file.
const installVariable = "POSTERN_INSTALL"

// ownCRDs are the CRDs of the objects that Postern reads and writes.
const ownCRDs = "artifacts/crds"

// Base is the default installation.
const Base = "manifests/base"

// Install applies Base, or the path in the variable POSTERN_INSTALL, as InstallFrom does.
func (c *ControlPlane) Install(ctx context.Context) error {
	return c.InstallPath(ctx, cmp.Or(os.Getenv(installVariable), Base))
}

// InstallPath applies the output of Render for a path, as InstallFrom does.
func (c *ControlPlane) InstallPath(ctx context.Context, path string) error {
	rendered, err := c.Render(ctx, path)
	if err != nil {
		return err
	}
	return c.InstallFrom(ctx, rendered)
}

// Render returns the objects of a kustomize directory or a file, in YAML. path may be relative to the checkout.
func (c *ControlPlane) Render(ctx context.Context, path string) (string, error) {
	if strings.HasSuffix(path, ".yaml") {
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.repository, path)
		}
		rendered, err := os.ReadFile(path)
		return string(rendered), err
	}
	rendered, err := c.Kubectl(ctx, "", "kustomize", path)
	if err != nil {
		return "", fmt.Errorf("could not render %s: %w", path, err)
	}
	return rendered, nil
}

// InstallFrom applies an installation in YAML, after the CRDs of Postern's targets and of the other objects in it.
// Warnings and fields unknown to the kube-apiserver are errors. It is idempotent. It also stands in for the rest of a
// cluster: it issues the certificates that the installation requests from cert-manager, and starts its external etcd.
// The Service points at this machine instead of a Pod; StartPostern runs Postern.
func (c *ControlPlane) InstallFrom(ctx context.Context, rendered string) error {
	foreign, err := c.foreignCRDs(ctx, rendered)
	if err != nil {
		return fmt.Errorf("could not get the CRDs of others: %w", err)
	}
	for _, crds := range append([]string{ownCRDs}, foreign...) {
		if err := c.ApplyCRDs(ctx, crds); err != nil {
			return fmt.Errorf("could not install the CRDs in %s: %w", crds, err)
		}
	}
	if _, err := c.Kubectl(ctx, rendered, append(strictApply(), "--filename=-")...); err != nil {
		return fmt.Errorf("could not install Postern: %w", err)
	}
	return c.Provide(ctx)
}

// Provide stands in for the rest of a cluster, so that StartPostern can run what was installed by InstallFrom or by
// other means. It is idempotent.
func (c *ControlPlane) Provide(ctx context.Context) error {
	for _, provide := range []func(context.Context) error{c.applyLocalService, c.issueCertificates, c.provideEtcd} {
		if err := provide(ctx); err != nil {
			return fmt.Errorf("could not provide what the installation needs: %w", err)
		}
	}
	return nil
}

// strictApply also takes ownership of fields that an earlier run changed to work here.
func strictApply() []string {
	return []string{"apply", "--server-side", "--force-conflicts", "--validate=strict", "--warnings-as-errors"}
}

// ApplyCRDs applies the CRDs of a file or a directory, and returns once they are served.
func (c *ControlPlane) ApplyCRDs(ctx context.Context, path string) error {
	if _, err := c.Kubectl(ctx, "", append(strictApply(), "--filename="+path)...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	return c.waitFor(ctx, []*process{c.apiServer}, func(ctx context.Context) error {
		// kubectl wait fails, instead of waiting, while a CRD has no condition, so it is retried.
		_, err := c.Kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=0", "--filename="+path)
		return err
	})
}

// applyLocalService creates the Service by which the kube-apiserver finds Postern. The APIService has the port.
func (c *ControlPlane) applyLocalService(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	service := corev1apply.Service(serviceName, Namespace).
		WithSpec(corev1apply.ServiceSpec().WithType(corev1.ServiceTypeExternalName).WithExternalName("localhost"))
	if _, err := client.CoreV1().Services(Namespace).Apply(ctx, service, applyOptions()); err != nil {
		return fmt.Errorf("could not apply the Service: %w", err)
	}
	return nil
}

// register makes the kube-apiserver proxy requests for the group to Postern's port. The annotation makes each
// registration a change, so that the kube-apiserver checks Postern at once instead of after its next interval.
func (c *ControlPlane) register(ctx context.Context, served servingCertificate) error {
	client, err := aggregator.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	spec := apiregistrationv1apply.APIServiceSpec().
		WithGroup(apiGroup).
		WithVersion(apiVersion).
		WithGroupPriorityMinimum(100). // required; the same values as in the manifests
		WithVersionPriority(15).
		WithService(apiregistrationv1apply.ServiceReference().
			WithNamespace(Namespace).
			WithName(serviceName).
			WithPort(int32(c.posternPort.number)))
	if served.caFile != "" {
		caBundle, err := os.ReadFile(served.caFile)
		if err != nil {
			return err
		}
		spec.WithCABundle(caBundle...)
	}
	apiService := apiregistrationv1apply.APIService(apiServiceName).
		WithAnnotations(map[string]string{"postern.dev/local-started-at": time.Now().Format(time.RFC3339Nano)}).
		WithSpec(spec)
	if _, err := client.ApiregistrationV1().APIServices().Apply(ctx, apiService, applyOptions()); err != nil {
		return fmt.Errorf("could not apply the APIService: %w", err)
	}
	return nil
}

// available returns nil if the kube-apiserver reports Postern as available and proxies a request to it.
func (c *ControlPlane) available(ctx context.Context) error {
	client, err := aggregator.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	apiService, err := client.ApiregistrationV1().APIServices().Get(ctx, apiServiceName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !helper.IsAPIServiceConditionTrue(apiService, apiregistrationv1.Available) {
		return fmt.Errorf("APIService %s is not available: %v", apiServiceName, apiService.Status.Conditions)
	}
	_, err = client.Discovery().ServerResourcesForGroupVersion(apiGroup + "/" + apiVersion)
	return err
}

func applyOptions() metav1.ApplyOptions {
	return metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
}
