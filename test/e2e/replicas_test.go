// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestReplicas runs three replicas with an external etcd over TLS, as docs/install/replicas.md says. An update goes
// unnoticed, and a crash nearly so.
func TestReplicas(t *testing.T) {
	w := newWorld(t)
	etcd, err := w.StartEtcd()
	if err != nil {
		t.Fatal(err)
	}
	w.kubectl("create", "namespace", system)
	w.kubectl("create", "secret", "generic", "postern-etcd-client", "--namespace="+system,
		"--from-file=ca.crt="+etcd.CA, "--from-file=tls.crt="+etcd.Cert, "--from-file=tls.key="+etcd.Key)
	w.install("manifests/overlays/ha", fmt.Sprintf(`patches:
- patch: |-
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: postern-config, namespace: postern-system}
    data: {etcd.servers: %q}
`, etcd.URL))

	t.Run("rollout restart", func(t *testing.T) {
		o := w.on(t).disturb("rollout restart of three replicas", (*world).restart)
		if o.outage() > 0 {
			t.Errorf("%d deliveries were answered %s, want 2xx only", o.requests, o.answers())
		}
	})
	t.Run("kill -9", func(t *testing.T) {
		o := w.on(t).disturb("kill -9 of one of three replicas", (*world).killPostern)
		// Until the kubelet notices, within a second or two, a third of the new connections goes to the killed replica.
		if limit := 3 * time.Second; o.outage() > limit {
			t.Errorf("deliveries were refused for %v, want %v at most", o.outage(), limit)
		}
	})
}
