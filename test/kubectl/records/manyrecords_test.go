// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// manyRecords is the number of records of TestDeliveries_ManyPages, more than a page has. The variable POSTERN_RECORDS
// sets another, to measure.
func manyRecords(t *testing.T) int {
	t.Helper()
	text := os.Getenv("POSTERN_RECORDS")
	if text == "" {
		return 1100
	}
	count, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func TestDeliveries_ManyPages(t *testing.T) {
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	count := manyRecords(t)
	client := w.Deliveries.PosternV1alpha1().WebhookDeliveries(w.Namespace)
	var creates errgroup.Group
	creates.SetLimit(16)
	for i := range count {
		creates.Go(func() error {
			d := &v1alpha1.WebhookDelivery{Spec: pushed("ping", `{"zen": "Keep it logically awesome.", "hook_id": 1}`)}
			d.Name = fmt.Sprintf("ping-%05d", (i*7919)%count)
			_, err := client.Create(t.Context(), d, metav1.CreateOptions{})
			return err
		})
	}
	if err := creates.Wait(); err != nil {
		t.Fatal(err)
	}
	w.deliver("in-the-middle", toPlant("v1"))

	measure := func(args ...string) result {
		t.Helper()
		began := time.Now()
		r := w.run(args...)
		t.Logf("%s with %d records: %s", strings.Join(args, " "), count, time.Since(began).Round(time.Millisecond))
		return r
	}
	r := measure("deliveries", "--limit=5")
	w.expect(r, 0, fmt.Sprintf("%d older deliveries are not shown", count+1-5))
	if lines := strings.Split(r.out, "\n"); !strings.HasPrefix(lines[1], "in-the-middle ") {
		t.Errorf("got %s", r.out)
	}
	r = measure("deliveries", "--limit=1", "-o", "yaml")
	w.expect(r, 0, "name: in-the-middle")
	w.expect(measure("deliveries", "gatewaysync/plant"), 0, "in-the-middle")
	w.expect(measure("why", "gatewaysync/plant"), 0, "in-the-middle: Applied")
	w.expect(measure("why", "in-the-middle"), 0)
}
