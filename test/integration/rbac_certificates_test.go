// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/test/controlplane"
)

const (
	authorityName  = "postern-ca"
	apiServiceName = "v1alpha1.postern.dev"
)

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// newAuthority deletes the Secret with Postern's CA.
func newAuthority(w *world) func() error {
	secrets := w.Kube.CoreV1().Secrets(controlplane.Namespace)
	if err := secrets.Delete(w.T.Context(), authorityName, metav1.DeleteOptions{}); err != nil {
		w.T.Fatal(err)
	}
	return func() error {
		_, err := secrets.Get(w.T.Context(), authorityName, metav1.GetOptions{})
		return err
	}
}

// repairedAuthority breaks that Secret.
func repairedAuthority(w *world) func() error {
	useless := []byte(`{"data": {"tls.crt": "AA==", "tls.key": "AA=="}}`)
	secrets := w.Kube.CoreV1().Secrets(controlplane.Namespace)
	w.eventually(func() error { // Postern may not have created it again yet
		_, err := secrets.Patch(w.T.Context(), authorityName, types.MergePatchType, useless, metav1.PatchOptions{})
		return err
	})
	return func() error {
		secret, err := secrets.Get(w.T.Context(), authorityName, metav1.GetOptions{})
		if err == nil && len(secret.Data["tls.crt"]) == 1 {
			err = errors.New("the Secret is still broken")
		}
		return err
	}
}

// repairedBundle overwrites the caBundle by which the kube-apiserver trusts Postern.
func repairedBundle(w *world) func() error {
	overwritten := []byte(`{"spec": {"caBundle": "AA=="}}`)
	if _, err := w.Objects.Resource(apiServices).Patch(w.T.Context(), apiServiceName, types.MergePatchType, overwritten,
		metav1.PatchOptions{}); err != nil {
		w.T.Fatal(err)
	}
	return func() error {
		registered, err := w.Objects.Resource(apiServices).Get(w.T.Context(), apiServiceName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		bundle, _, err := unstructured.NestedString(registered.Object, "spec", "caBundle")
		if err == nil && bundle == "AA==" {
			err = errors.New("the caBundle is still broken")
		}
		return err
	}
}
