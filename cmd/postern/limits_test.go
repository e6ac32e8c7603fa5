// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultLimits(t *testing.T) {
	o, err := parse(enough...)
	if err != nil {
		t.Fatal(err)
	}
	want := limits{
		maxRequestsInFlight: 400, maxMutatingRequestsInFlight: 200,
		maxInflightPayloadBytes: 64 << 20, payloadTimeout: 30 * time.Second, maxDeliveries: 10_000, etcdQuotaBytes: 2 << 30,
	}
	if diff := cmp.Diff(want, o.limits, cmp.AllowUnexported(limits{})); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

func TestLimitsAreTakenUpToTheirBounds(t *testing.T) {
	for _, args := range [][]string{
		{"--max-requests-inflight=1", "--max-mutating-requests-inflight=1"},
		{"--max-payload-bytes=1024", "--max-inflight-payload-bytes=1024"},
		{"--payload-timeout=1s"},
		{"--payload-timeout=1m"},
		{"--max-deliveries=10"},
		{"--etcd-quota-bytes=16777216"},
		{"--etcd-quota-bytes=8589934592"},
	} {
		if _, err := parse(append(args, enough...)...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestABadLimitIsAnErrorThatNamesTheFlag(t *testing.T) {
	for _, test := range []struct{ bad, names string }{
		{"--max-requests-inflight=0", "--max-requests-inflight is 0: it must be at least 1"},
		{"--max-mutating-requests-inflight=0", "--max-mutating-requests-inflight is 0: it must be at least 1"},
		{"--max-inflight-payload-bytes=1048575", "--max-inflight-payload-bytes is 1048575: it must be at least --max-payload-bytes, 1048576"},
		{"--payload-timeout=999ms", "--payload-timeout is 999ms: it must be from 1s to 1m0s"},
		{"--payload-timeout=61s", "--payload-timeout is 1m1s: it must be from 1s to 1m0s"},
		{"--max-deliveries=9", "--max-deliveries is 9: it must be at least 10"},
		{"--etcd-quota-bytes=16777215", "--etcd-quota-bytes is 16777215: it must be from 16777216 to 8589934592"},
		{"--etcd-quota-bytes=8589934593", "--etcd-quota-bytes is 8589934593: it must be from 16777216 to 8589934592"},
	} {
		_, err := parse(append(enough[:2:2], test.bad)...)
		switch {
		case err == nil:
			t.Errorf("%s is accepted", test.bad)
		case !strings.Contains(err.Error(), test.names):
			t.Errorf("%s: %v", test.bad, err)
		}
	}
}
