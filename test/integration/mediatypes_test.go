// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// The namespace controller uses this client, which requests protobuf. If it fails, no namespace can be deleted.
func TestClientOfTheNamespaceControllerListsAndDeletesTheRecordsOfANamespace(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()
	client, err := metadata.NewForConfig(w.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	records := client.Resource(v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries")).Namespace(w.namespace)

	list, err := records.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 3 {
		t.Errorf("listed %d records, want 3", len(list.Items))
	}
	if err := records.Delete(t.Context(), list.Items[0].Name, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if err := records.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	w.mustHaveRecords()
}
