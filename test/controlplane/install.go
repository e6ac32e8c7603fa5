// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"os"
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
	// Namespace is where Postern is installed.
	Namespace            = "postern-system"
	apiGroup, apiVersion = "postern.dev", "v1alpha1"
	apiServiceName       = apiVersion + "." + apiGroup
	serviceName          = "postern"
	serviceAccountName   = "postern"
	fieldManager         = "postern-local"
)

// Install applies what a real installation consists of, manifests/base and the CRDs in artifacts/crds, and a Service
// that leads to this machine instead of to a Pod. It may be repeated. Postern is registered by StartPostern.
func (c *ControlPlane) Install(ctx context.Context) error {
	steps := [][]string{
		{"apply", "--server-side", "--filename=artifacts/crds"},
		{"apply", "--server-side", "--kustomize=manifests/base"},
		{"wait", "--for=condition=Established", "--timeout=60s", "--filename=artifacts/crds"},
	}
	for _, step := range steps {
		if _, err := c.Kubectl(ctx, "", step...); err != nil {
			return fmt.Errorf("could not install Postern: %w", err)
		}
	}
	return c.applyLocalService(ctx)
}

// applyLocalService makes the Service that the kube-apiserver looks up to find Postern. The port is the APIService's.
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

// register tells the kube-apiserver to send requests for the group to Postern. The annotation makes each registration a
// change: the kube-apiserver then looks at once whether Postern is there, and not only after its next interval. The caBundle
// is that of the certificate files, or is left to Postern.
func (c *ControlPlane) register(ctx context.Context, certificateFiles bool) error {
	client, err := aggregator.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	spec := apiregistrationv1apply.APIServiceSpec().
		WithGroup(apiGroup).
		WithVersion(apiVersion).
		WithGroupPriorityMinimum(100). // below the 1000 of CRDs, so that "kubectl get applications" finds those
		WithVersionPriority(15).
		WithService(apiregistrationv1apply.ServiceReference().
			WithNamespace(Namespace).
			WithName(serviceName).
			WithPort(int32(c.posternPort.number)))
	if certificateFiles {
		caBundle, err := os.ReadFile(c.pki.cert(posternCA))
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

// available returns nil if the kube-apiserver says that Postern is available, and an answer of Postern comes through it.
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
