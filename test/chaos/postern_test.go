// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/http"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestPostern_KillLosesNothing(t *testing.T) {
	random := seeded(t)
	postern := startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, 4, 4)
	load := w.startLoad(0)
	for range pick(4, 20) {
		// Kill it at a random point of the load, some time after the last start.
		load.awaitAccepted(1 + random.IntN(100))
		if err := postern.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := postern.Start(testcluster.StartContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	load.awaitAccepted(50)
	load.stop()
	// Postern may be killed after it has sent a part of an answer.
	w.onlyCodes(load.ledger, http.StatusAccepted, http.StatusServiceUnavailable, incomplete)
	w.check(load.ledger)
}
