// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLimits_Defaults(t *testing.T) {
	o, err := parse(certFileArgs...)
	if err != nil {
		t.Fatal(err)
	}
	want := Limits{
		MaxInflightPayloadBytes: 128 << 20, PayloadTimeout: 30 * time.Second, MaxDeliveries: 10_000,
		MaxDeliveryBytes: 64 << 20, NamespaceSharePercent: 50, EtcdQuotaBytes: 2 << 30, DirectRequestsPerSecond: 10,
	}
	if diff := cmp.Diff(want, o.Limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if reads, writes := o.ServerRun.MaxRequestsInFlight, o.ServerRun.MaxMutatingRequestsInFlight; reads != 400 ||
		writes != 200 {
		t.Errorf("got %d reads and %d writes in flight, want 400 and 200", reads, writes)
	}
}

func TestLimits_AcceptsBounds(t *testing.T) {
	for _, args := range [][]string{
		{"--max-requests-inflight=1", "--max-mutating-requests-inflight=1"},
		{"--max-payload-bytes=1024", "--max-inflight-payload-bytes=11927552"},
		{"--payload-timeout=1s"},
		{"--payload-timeout=1m"},
		{"--max-deliveries=10"},
		{"--max-delivery-bytes=4194304"},
		{"--max-namespace-share-percent=1"},
		{"--max-namespace-share-percent=100"},
		{"--etcd-quota-bytes=16777216"},
		{"--etcd-quota-bytes=8589934592"},
		{"--direct-requests-per-second=1"},
		{"--direct-requests-per-second=10000"},
		{"--argocd-refreshes-per-second=0"},
		{"--argocd-refreshes-per-second=0.01"},
		{"--argocd-refreshes-per-second=10000"},
	} {
		if _, err := parse(append(args, certFileArgs...)...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestLimits_ErrorNamesFlag(t *testing.T) {
	for _, test := range []struct{ bad, names string }{
		{"--max-requests-inflight=0", "--max-requests-inflight is 0: it must be from 1 to 1048576"},
		{"--max-mutating-requests-inflight=0", "--max-mutating-requests-inflight is 0: it must be from 1 to 1048576"},
		{"--max-inflight-payload-bytes=11927551",
			"--max-inflight-payload-bytes is 11927551: it must be from 11927552, which a payload of " +
				"--max-payload-bytes (1048576) or an object without one may take, to 17592186044416"},
		{"--max-inflight-payload-bytes=9223372036854775807", "to 17592186044416"},
		{"--max-mutating-requests-inflight=1048577", "to 1048576"},
		{"--payload-timeout=999ms", "--payload-timeout is 999ms: it must be from 1s to 1m0s"},
		{"--payload-timeout=61s", "--payload-timeout is 1m1s: it must be from 1s to 1m0s"},
		{"--max-deliveries=9", "--max-deliveries is 9: it must be from 10 to 1073741824"},
		{"--max-deliveries=1073741825", "from 10 to 1073741824"},
		{"--max-delivery-bytes=4194303", "--max-delivery-bytes is 4194303: it must be from 4194304 to 17592186044416"},
		{"--max-delivery-bytes=9223372036854775807", "to 17592186044416"},
		{"--max-namespace-share-percent=0", "--max-namespace-share-percent is 0: it must be from 1 to 100"},
		{"--max-namespace-share-percent=101", "--max-namespace-share-percent is 101: it must be from 1 to 100"},
		{"--etcd-quota-bytes=16777215", "--etcd-quota-bytes is 16777215: it must be from 16777216 to 8589934592"},
		{"--etcd-quota-bytes=8589934593", "--etcd-quota-bytes is 8589934593: it must be from 16777216 to 8589934592"},
		{"--direct-requests-per-second=0", "--direct-requests-per-second is 0: it must be from 1 to 10000"},
		{"--direct-requests-per-second=10001", "--direct-requests-per-second is 10001: it must be from 1 to 10000"},
		{"--argocd-refreshes-per-second=-1", "--argocd-refreshes-per-second is -1: it must be from 0.01 to 10000"},
		{"--argocd-refreshes-per-second=0.001",
			"--argocd-refreshes-per-second is 0.001: it must be from 0.01 to 10000"},
		{"--argocd-refreshes-per-second=10001",
			"--argocd-refreshes-per-second is 10001: it must be from 0.01 to 10000"},
		{"--argocd-refreshes-per-second=NaN", "--argocd-refreshes-per-second is NaN: it must be from 0.01 to 10000"},
	} {
		_, err := parse(append(certFileArgs[:2:2], test.bad)...)
		switch {
		case err == nil:
			t.Errorf("%s is accepted", test.bad)
		case !strings.Contains(err.Error(), test.names):
			t.Errorf("%s: got error %v", test.bad, err)
		}
	}
}
