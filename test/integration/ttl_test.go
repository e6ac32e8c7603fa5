// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// checkLeases fails the test unless all records of the namespace have a lease of the given number of seconds. etcd may
// add up to a minute in order to share leases.
func (w *world) checkLeases(seconds int64) {
	w.t.Helper()
	etcd, err := w.EtcdClient(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = etcd.Close() }()
	stored, err := etcd.Get(w.t.Context(), "/registry/postern.dev/", clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	found := 0
	for _, kv := range stored.Kvs {
		if !strings.Contains(string(kv.Key), "/"+w.namespace+"/") {
			continue
		}
		found++
		lease, err := etcd.TimeToLive(w.t.Context(), clientv3.LeaseID(kv.Lease))
		if err != nil || lease.GrantedTTL < seconds || lease.GrantedTTL > seconds+60 {
			w.t.Errorf("%s has the lease %v, %v; want one of %d seconds", kv.Key, lease, err, seconds)
		}
	}
	if want := len(w.records()); found == 0 || found != want {
		w.t.Errorf("found %d records in etcd, want %d", found, want)
	}
}

func TestDeliveriesAreKeptForThreeDaysUnlessAFlagSaysOtherwise(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()
	w.checkLeases(72 * 60 * 60)
}
