// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
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

// The kubelet restarts a Postern that does not answer /livez in time, which would not help.
func TestEtcd_HangingLeavesPosternAlive(t *testing.T) {
	etcd := shared.RunEtcd(t, 1)
	postern := startPostern(t, controlplane.PosternOptions{Etcd: etcd})
	w := newWorld(t, 1, 0)
	member := etcd.Members()[0]
	if err := member.Pause(); err != nil {
		t.Fatal(err)
	}
	testcluster.AtEnd(t, member.Resume)
	// While requests hang, too.
	hanging := w.startLoad(0)
	w.Eventually(testcluster.Patience, func() error {
		return onItsPort(t.Context(), postern, "/readyz", http.StatusInternalServerError)
	})
	ctx, cancel := context.WithTimeout(t.Context(), probeTimeout)
	defer cancel()
	if err := onItsPort(ctx, postern, "/livez", http.StatusOK); err != nil {
		t.Error(err)
	}
	if err := member.Resume(); err != nil {
		t.Fatal(err)
	}
	hanging.awaitAccepted(10)
	hanging.stop()
	w.check(hanging.ledger)
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
