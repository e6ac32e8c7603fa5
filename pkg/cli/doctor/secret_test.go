// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestKeysIn_ManagedFields(t *testing.T) {
	entry := func(fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{FieldsV1: metav1.NewFieldsV1(fields)}
	}
	got := keysIn([]metav1.ManagedFieldsEntry{
		entry(`{"f:data": {".": {}, "f:webhook.github-secret": {}}, "f:type": {}}`),
		entry(`{"f:data": {"f:hmac": {}, "f:webhook.github-secret": {}}}`),
		entry(`{"f:metadata": {}}`), entry(`not JSON`), {},
	})
	if diff := cmp.Diff([]string{"hmac", "webhook.github-secret"}, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestIsKnownKey(t *testing.T) {
	for key, want := range map[string]bool{
		"hmac": true, "token": true, "webhook.docker-secret": true, "webhook.harbor-registry-url": true,
		"gatewaysyncs.plant.hmac": true, "applications.shop.token": true,
		"github-secret": false, "webhook.github": false, "webhook.docker.io-secret": false,
		"gatewaysync.plant.hmac": false,
		"HMAC":                   false,
	} {
		if got := isKnownKey(key); got != want {
			t.Errorf("isKnownKey(%q) is %t, want %t", key, got, want)
		}
	}
}
