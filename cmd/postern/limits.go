// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	cliflag "k8s.io/component-base/cli/flag"
)

const (
	// A request ends after a minute, whatever it waits for.
	minPayloadTimeout, maxPayloadTimeout = time.Second, time.Minute

	minMaxDeliveries = 10

	// etcd advises no more than 8 GiB.
	minEtcdQuotaBytes, maxEtcdQuotaBytes = 16 << 20, 8 << 30
)

// limits are the flags that bound what the server takes upon itself, whatever arrives.
type limits struct {
	// How many requests may be under way, watches excepted.
	maxRequestsInFlight, maxMutatingRequestsInFlight int
	maxInflightPayloadBytes                          int64
	payloadTimeout                                   time.Duration
	maxDeliveries                                    int
	etcdQuotaBytes                                   int64
}

// newLimits returns the defaults. Those of requests are the kube-apiserver's, which lets no more through.
func newLimits() limits {
	return limits{
		maxRequestsInFlight:         400,
		maxMutatingRequestsInFlight: 200,
		maxInflightPayloadBytes:     64 << 20,
		payloadTimeout:              30 * time.Second,
		maxDeliveries:               10_000,
		etcdQuotaBytes:              2 << 30,
	}
}

func (l *limits) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("limits")
	fs.IntVar(&l.maxRequestsInFlight, "max-requests-inflight", l.maxRequestsInFlight,
		"How many requests that only read may be under way, besides watches. Others are answered 429.")
	fs.IntVar(&l.maxMutatingRequestsInFlight, "max-mutating-requests-inflight", l.maxMutatingRequestsInFlight,
		"How many requests that deliver or delete may be under way. Others are answered 429.")
	fs.Int64Var(&l.maxInflightPayloadBytes, "max-inflight-payload-bytes", l.maxInflightPayloadBytes,
		"The most bytes of payloads and objects that are held in memory at a time, at least --max-payload-bytes. "+
			"A request waits a little for its share; then it is answered 429.")
	fs.DurationVar(&l.payloadTimeout, "payload-timeout", l.payloadTimeout,
		fmt.Sprintf("How long a payload or an object may take to arrive, from %s to %s. Then the request is answered 504.", minPayloadTimeout, maxPayloadTimeout))
	fs.IntVar(&l.maxDeliveries, "max-deliveries", l.maxDeliveries, fmt.Sprintf(
		"How many deliveries are kept, in all namespaces together, at least %d. Beyond, the oldest are deleted that are not Pending; "+
			"while more are Pending, new ones are answered 429.", minMaxDeliveries))
	fs.Int64Var(&l.etcdQuotaBytes, "etcd-quota-bytes", l.etcdQuotaBytes, fmt.Sprintf(
		"How large the database of the embedded etcd may be, from %d to %d. Near that, old revisions are dropped and the oldest deliveries deleted; "+
			"at that, new ones are answered 503.", minEtcdQuotaBytes, int64(maxEtcdQuotaBytes)))
}

// validate returns everything that is wrong; a payload may have maxPayloadBytes.
func (l *limits) validate(maxPayloadBytes int64) []error {
	var errs []error
	if l.maxRequestsInFlight < 1 {
		errs = append(errs, fmt.Errorf("--max-requests-inflight is %d: it must be at least 1", l.maxRequestsInFlight))
	}
	if l.maxMutatingRequestsInFlight < 1 {
		errs = append(errs, fmt.Errorf("--max-mutating-requests-inflight is %d: it must be at least 1", l.maxMutatingRequestsInFlight))
	}
	if l.maxInflightPayloadBytes < maxPayloadBytes {
		errs = append(errs, fmt.Errorf("--max-inflight-payload-bytes is %d: it must be at least --max-payload-bytes, %d", l.maxInflightPayloadBytes, maxPayloadBytes))
	}
	if l.payloadTimeout < minPayloadTimeout || l.payloadTimeout > maxPayloadTimeout {
		errs = append(errs, fmt.Errorf("--payload-timeout is %s: it must be from %s to %s", l.payloadTimeout, minPayloadTimeout, maxPayloadTimeout))
	}
	if l.maxDeliveries < minMaxDeliveries {
		errs = append(errs, fmt.Errorf("--max-deliveries is %d: it must be at least %d", l.maxDeliveries, minMaxDeliveries))
	}
	if l.etcdQuotaBytes < minEtcdQuotaBytes || l.etcdQuotaBytes > maxEtcdQuotaBytes {
		errs = append(errs, fmt.Errorf("--etcd-quota-bytes is %d: it must be from %d to %d", l.etcdQuotaBytes, minEtcdQuotaBytes, int64(maxEtcdQuotaBytes)))
	}
	return errs
}
