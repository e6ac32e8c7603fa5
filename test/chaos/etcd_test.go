// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/http"
	"testing"

	"postern.dev/postern/test/controlplane"
)

func TestNothingAcceptedIsLostWhenMembersOfEtcdAreKilled(t *testing.T) {
	etcd := startEtcd(t, 3)
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
			if err := member.Start(starting(t)); err != nil {
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
	w.t.Helper()
	leader, err := etcd.Leader(starting(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range etcd.Members() {
		if (m == leader) == leads {
			return m
		}
	}
	w.t.Fatal("no such member")
	return nil
}

// startEtcd runs an etcd with the given number of members for the duration of a test.
func startEtcd(t *testing.T, members int) *controlplane.EtcdCluster {
	t.Helper()
	etcd, err := shared.StartEtcdCluster(starting(t), members)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := etcd.Stop(); err != nil {
			t.Error(err)
		}
	})
	return etcd
}
