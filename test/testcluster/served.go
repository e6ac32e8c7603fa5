// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package testcluster

import (
	"os"
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServesMutatingPolicies reports whether the kube-apiserver serves MutatingAdmissionPolicies. That of the default
// version must, so that no test is skipped by mistake.
func (c *Cluster) ServesMutatingPolicies(t *testing.T) bool {
	t.Helper()
	version := admissionregistrationv1.SchemeGroupVersion.String()
	served, err := c.Kube.Discovery().ServerResourcesForGroupVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	found := slices.ContainsFunc(served.APIResources, func(resource metav1.APIResource) bool {
		return resource.Kind == "MutatingAdmissionPolicy"
	})
	if !found && os.Getenv("K8S_VERSION") == "" {
		t.Fatal("the kube-apiserver of the default version does not serve MutatingAdmissionPolicies")
	}
	return found
}

// RequireMutatingPolicies skips the test if the kube-apiserver does not serve MutatingAdmissionPolicies.
func (c *Cluster) RequireMutatingPolicies(t *testing.T) {
	t.Helper()
	if !c.ServesMutatingPolicies(t) {
		t.Skip("this version of Kubernetes does not serve MutatingAdmissionPolicies")
	}
}
