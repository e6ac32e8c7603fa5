// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// checkLeases fails the test unless all records of the namespace have a lease of the given number of seconds. etcd may
// add up to a minute in order to share leases.
func (w *world) checkLeases(seconds int64) {
	w.T.Helper()
	etcd, err := w.EtcdClient(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	defer func() { _ = etcd.Close() }()
	stored, err := etcd.Get(w.T.Context(), "/registry/postern.dev/", clientv3.WithPrefix())
	if err != nil {
		w.T.Fatal(err)
	}
	found := 0
	for _, kv := range stored.Kvs {
		if !strings.Contains(string(kv.Key), "/"+w.Namespace+"/") {
			continue
		}
		found++
		lease, err := etcd.TimeToLive(w.T.Context(), clientv3.LeaseID(kv.Lease))
		if err != nil || lease.GrantedTTL < seconds || lease.GrantedTTL > seconds+60 {
			w.T.Errorf("%s has the lease %v, %v; want one of %d seconds", kv.Key, lease, err, seconds)
		}
	}
	if want := len(w.records()); found == 0 || found != want {
		w.T.Errorf("found %d records in etcd, want %d", found, want)
	}
}

func TestTTL_DefaultAndFlag(t *testing.T) {
	w := newWorld(t)
	w.threeDeliveries()
	w.checkLeases(72 * 60 * 60)
}

func TestGarbageCollection_KeepsYoungest(t *testing.T) {
	const most, made = 20, 50
	s := newSuite(t, fmt.Sprintf("--max-deliveries=%d", most))
	w := s.newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	var names []string // oldest first
	for i := range made {
		body := fmt.Sprintf(`{"ref":"v%d"}`, i)
		names = append(names, ci.mustPost(t, gatewaySyncPath("web"), body, nil, http.StatusAccepted).delivery(t).Name)
	}

	w.eventually(func() error { // deletion is asynchronous, and in batches
		var kept []string
		for _, d := range w.records() {
			kept = append(kept, d.Name)
		}
		if got := len(kept); got > most || got < most*9/10 {
			return fmt.Errorf("%d deliveries are kept, want at most %d and at least nine tenths of that", got, most)
		}
		youngest := slices.Clone(names[made-len(kept):])
		slices.Sort(youngest)
		slices.Sort(kept)
		if diff := cmp.Diff(youngest, kept); diff != "" {
			return fmt.Errorf("kept (-want +got):\n%s", diff)
		}
		const stored = "postern_stored_deliveries"
		if got := s.metrics(t, stored)[stored]; got != float64(len(kept)) {
			return fmt.Errorf("%s is %f, want %d", stored, got, len(kept))
		}
		return nil
	})
	w.mustHold(gatewaySyncs, "web", requestedRef, fmt.Sprintf("v%d", made-1))
}
