// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestKubeAPIServer_OutageLosesNothing(t *testing.T) {
	startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, 4, 4)
	// If this test fails half-way, later ones need it.
	testcluster.AtEnd(t, func() error { return w.StartAPIServer(context.Background()) })
	load := w.startLoad(0)
	ends := []func() error{
		func() error { return w.StopAPIServer(t.Context()) }, // in-flight requests still get an answer
		w.KillAPIServer,
	}
	for _, end := range ends[:pick(1, 2)] {
		load.awaitAccepted(100)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-time.After(pick(3*time.Second, 20*time.Second)): // users see an outage of some length
		case <-t.Context().Done():
		}
		if err := w.StartAPIServer(testcluster.StartContext(t)); err != nil {
			t.Fatal(err)
		}
		returned := time.Now()
		if err := w.WaitForPostern(testcluster.StartContext(t)); err != nil {
			t.Fatal(err)
		}
		t.Logf("Postern was reachable %s after the kube-apiserver was ready", since(returned))
		w.checkPendingEnd(returned, settleWithin)
	}
	load.awaitAccepted(100)
	load.stop()
	w.check(load.ledger)
}
