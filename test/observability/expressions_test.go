// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package observability

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExpressions_FindsMetrics(t *testing.T) {
	for expression, want := range map[string][]string{
		`up`:                           {"up"},
		`up == 0 or absent(up{a="b"})`: {"up"},
		`sum by (source, reason) (rate(x_total{job="y{z}",reason=~"a|b"}[5m])) > 0.5`: {
			"x_total"},
		`(a unless last_over_time(a[1h] offset 15m)) or increase(a[15m])`: {
			"a"},
		`histogram_quantile(0.99, sum by (le) (rate(b_bucket[5m]))) / on (job) group_left (version) c * bool inf`: {
			"b_bucket", "c"},
		`time() - d_timestamp_seconds`: {"d_timestamp_seconds"},
		`sum(e{}) without (pod) AND f`: {"e", "f"},
		`vector(1)`:                    nil,
	} {
		if diff := cmp.Diff(want, MetricsIn(expression)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", expression, diff)
		}
	}
}
