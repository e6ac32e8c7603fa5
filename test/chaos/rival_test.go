// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/http"
	"testing"

	"postern.dev/postern/test/controlplane"
)

func TestConflicts_DeliveriesEndDespiteOtherWriter(t *testing.T) {
	startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, 1, 0)
	rival := w.startRival(w.targets[0])
	load := w.startLoad(50) // without a limit they leave no time for a whole update
	for range pick(1, 20) {
		load.awaitAccepted(200)
	}
	load.stop()
	rival.stop()

	for _, f := range rival.fields {
		t.Logf("%s was changed %d times in %s; %d conflicts", f.name, f.changes, rival.lasted, f.conflicts)
		if f.changes == 0 {
			t.Errorf("%s was never changed", f.name)
		}
		for _, problem := range f.problems[:min(len(f.problems), 5)] {
			t.Error(problem)
		}
	}
	w.onlyCodes(load.ledger, http.StatusAccepted)
	w.check(load.ledger)
}
