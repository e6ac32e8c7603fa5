// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/http"
	"testing"

	"postern.dev/postern/test/controlplane"
)

func TestNoRequestFailsWhileReplicasAreRestartedInTurn(t *testing.T) {
	etcd := startEtcd(t, 1)
	replicas, err := shared.StartReplicas(starting(t), 3, controlplane.PosternOptions{
		Etcd: etcd,
		// Much longer than the load balancer needs to see that a replica is shutting down.
		Flags: []string{"--shutdown-delay-duration=2s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := replicas.Kill(); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, 4, 4)
	load := w.startLoad(0)
	for range pick(1, 5) {
		for _, replica := range replicas.All() {
			load.awaitAccepted(50)
			if err := replica.Restart(starting(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	load.awaitAccepted(50)
	load.stop()
	w.onlyCodes(load.ledger, http.StatusAccepted)
	w.check(load.ledger)
}
