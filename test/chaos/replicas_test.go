// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/http"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestReplicas_RollingRestartFailsNoRequest(t *testing.T) {
	etcd := shared.RunEtcd(t, 1)
	replicas := shared.RunReplicas(t, 3, controlplane.PosternOptions{
		Etcd: etcd,
		// Much longer than the load balancer needs to see that a replica is shutting down.
		Flags: []string{"--shutdown-delay-duration=2s"},
	})
	w := newWorld(t, 4, 4)
	load := w.startLoad(0)
	for range pick(1, 5) {
		for _, replica := range replicas.All() {
			load.awaitAccepted(50)
			if err := replica.Restart(testcluster.StartContext(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	load.awaitAccepted(50)
	load.stop()
	w.onlyCodes(load.ledger, http.StatusAccepted)
	w.check(load.ledger)
}
