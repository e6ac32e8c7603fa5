// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/http"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestEtcd_KilledMembersLoseNothing(t *testing.T) {
	etcd := shared.RunEtcd(t, 3)
	startPostern(t, controlplane.PosternOptions{Etcd: etcd})
	w := newWorld(t, 4, 4)
	load := w.startLoad(0)
	for range pick(1, 5) {
		for _, leads := range []bool{false, true} {
			load.awaitAccepted(50)
			member := w.member(etcd, leads)
			if err := member.Kill(); err != nil {
				t.Fatal(err)
			}
			load.awaitAccepted(100) // a majority is left, so deliveries continue
			if err := member.Start(testcluster.StartContext(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	load.awaitAccepted(50)
	load.stop()
	w.onlyCodes(load.ledger, http.StatusAccepted, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	w.check(load.ledger)
}

// member returns the leader, or another member.
func (w *world) member(etcd *controlplane.EtcdCluster, leads bool) *controlplane.EtcdMember {
	w.T.Helper()
	leader, err := etcd.Leader(testcluster.StartContext(w.T))
	if err != nil {
		w.T.Fatal(err)
	}
	for _, m := range etcd.Members() {
		if (m == leader) == leads {
			return m
		}
	}
	w.T.Fatal("no such member")
	return nil
}
