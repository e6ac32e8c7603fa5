// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
)

func TestOrder_NewestEventWinsInAnyOrder(t *testing.T) {
	const deliveries, targets = 1000, 10
	random := seeded(t)
	startPostern(t, controlplane.PosternOptions{})
	w := newWorld(t, targets/2, targets/2)

	start := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	newest := map[target]string{}
	var requests []request
	for i := range deliveries {
		g, ref := w.targets[i%targets], fmt.Sprintf("v1.%d.0", i)
		requests = append(requests, release(g, ref, start.Add(time.Duration(i)*time.Second)))
		newest[g] = ref
	}
	random.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	l := &ledger{}
	began := time.Now()
	l.sendAll(w.ci, requests)
	t.Logf("%d deliveries in %s", deliveries, since(began))

	w.onlyCodes(l, http.StatusAccepted)
	w.check(l)
	for g, held := range w.held() {
		if held != newest[g] {
			t.Errorf("%s has %s, want %s", g, held, newest[g])
		}
	}
}
