// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestMonitoring_PrometheusTrustsEachCertificate(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want map[string]any
	}{
		"Postern's own": {nil, map[string]any{"name": "postern-ca", "key": "ca.crt"}},
		"cert-manager's": {[]string{"--set=certManager.enabled=true"},
			map[string]any{"name": "postern-serving", "key": "ca.crt"}},
		"one's own": {[]string{
			"--set=extraArgs={--tls-cert-file=/etc/tls/tls.crt,--tls-private-key-file=/etc/tls/tls.key}",
			"--set-string=serviceMonitor.caSecretRef.name=123,serviceMonitor.caSecretRef.key=456",
		}, map[string]any{"name": "123", "key": "456"}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := parse(t, mustTemplate(t, append(test.args, "--set=serviceMonitor.enabled=true")...))
			monitor := objects["ServiceMonitor.monitoring.coreos.com postern-system/postern"]
			endpoints, _, err := unstructured.NestedSlice(monitor.Object, "spec", "endpoints")
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := unstructured.NestedMap(endpoints[0].(map[string]any), "tlsConfig", "ca", "secret")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the Secret with the CA (-want +got):\n%s", diff)
			}
		})
	}
}
