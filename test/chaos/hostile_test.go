// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// metadataOnly is the audit policy of most clusters. With bodies, as in other tests, the log of the largest requests
// would cost more than the requests.
const metadataOnly = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata`

// slowdown is the permitted factor of the 99th percentile of answer times next to a hostile namespace.
const slowdown = 5

// One namespace runs all attacks at once, and its neighbor must not be affected: all its deliveries are answered 202,
// all are written in order, and Postern stays within the shipped memory limit. Answer times are compared within one
// run, and judged only in the long form. CHAOS_ATTACKS, a regular expression, selects attacks by name.
func TestHostile_NamespaceLeavesOthersUnharmed(t *testing.T) {
	if raceDetector {
		t.Skip("with the race detector Postern exceeds the limits on memory and time")
	}
	if long() { // the other control plane would use processor time
		if err := shared.KillAPIServer(); err != nil {
			t.Fatal(err)
		}
		testcluster.AtEnd(t, func() error { return shared.StartAPIServer(context.Background()) })
	}
	c := &cluster{testcluster.New(t, controlplane.Options{AuditPolicy: []byte(metadataOnly)})}
	if err := c.Install(testcluster.StartContext(t)); err != nil {
		t.Fatal(err)
	}
	postern := c.RunPostern(t, controlplane.PosternOptions{})
	limit := c.shippedMemoryLimit(t, postern)
	honest := c.newHonest(t)
	hostile := c.newHostile(t, postern, honest)
	footprint := c.followFootprint(t, postern)

	quiet := honest.deliver(pick(3*time.Second, time.Minute), footprint.ended)
	hostile.start()
	loud := honest.deliver(pick(15*time.Second, 3*time.Minute), footprint.ended)
	hostile.stop()
	footprint.stop()

	t.Logf("hostile: %d requests\n%s", hostile.total(), hostile.report())
	t.Logf("honest: quiet %s; next to the hostile namespace %s; ratio of p50 %.1f, of p99 %.1f",
		summaryOf(quiet), summaryOf(loud), ratio(quiet, loud, 0.5), ratio(quiet, loud, 0.99))
	t.Logf("Postern: at most %d MiB of memory, %d MiB of it unreclaimable; limit %d MiB; database %d MiB",
		footprint.highest>>20, footprint.held>>20, limit>>20, footprint.databaseSize>>20)
	hostile.mustHaveStruck()
	if footprint.check(t, limit); !postern.Running() {
		t.FailNow() // Postern has ended
	}
	if got := ratio(quiet, loud, 0.99); long() && got > slowdown {
		t.Errorf("p99 with the hostile namespace is %.1f times as high; at most %d times is allowed", got, slowdown)
	}
	honest.check()
}

// percentile returns the time that this part of the times does not exceed.
func percentile(times []time.Duration, part float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

func ratio(before, after []time.Duration, part float64) float64 {
	return float64(percentile(after, part)) / float64(max(1, percentile(before, part)))
}

func summaryOf(times []time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d deliveries", len(times))
	for _, p := range []struct {
		name string
		part float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"slowest", 1}} {
		fmt.Fprintf(&text, ", %s %s", p.name, percentile(times, p.part).Round(100*time.Microsecond))
	}
	return text.String()
}
