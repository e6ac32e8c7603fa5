// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/generated/clientset/versioned/fake"
)

// While the user reads what would change, another client can replace the record by one of the same name.
func TestCheckSame_RecordIsTheOneThatWasShown(t *testing.T) {
	record := func(uid types.UID) *v1alpha1.WebhookDelivery {
		return &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "one", UID: uid}}
	}
	cluster := &cli.Cluster{Namespace: "demo", Postern: fake.NewSimpleClientset(record("a"))}
	if err := checkSame(t.Context(), cluster, record("a")); err != nil {
		t.Errorf("the same record: %v", err)
	}
	err := checkSame(t.Context(), cluster, record("b"))
	if err == nil || !strings.Contains(err.Error(), "one is another record now") {
		t.Errorf("another record: got %v", err)
	}
}
