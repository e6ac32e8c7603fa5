// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/apiserver"
)

const (
	// A request ends after a minute, whatever it waits for.
	minPayloadTimeout, maxPayloadTimeout = time.Second, time.Minute

	// Beyond these, nothing that a flag bounds fits into a machine.
	maxRequests, maxBytes, maxMaxDeliveries = 1 << 20, 1 << 44, 1 << 30

	minMaxDeliveries = 10
	// A record with its final status may take 768 KiB, and some must fit.
	minMaxDeliveryBytes = 4 << 20

	// etcd advises no more than 8 GiB.
	minEtcdQuotaBytes, maxEtcdQuotaBytes = 16 << 20, 8 << 30

	minDirectRequestsPerSecond, maxDirectRequestsPerSecond = 1, 10_000
)

// limits are the flags that bound what the server takes upon itself, whatever arrives.
type limits struct {
	// How many requests may be under way, watches excepted.
	maxRequestsInFlight, maxMutatingRequestsInFlight int
	maxInflightPayloadBytes                          int64
	payloadTimeout                                   time.Duration
	maxDeliveries                                    int
	maxDeliveryBytes                                 int64
	namespaceSharePercent                            int
	etcdQuotaBytes                                   int64
	directRequestsPerSecond                          int
}

// newLimits returns the defaults. Those of requests are the kube-apiserver's, which lets no more through.
func newLimits() limits {
	return limits{
		maxRequestsInFlight:         400,
		maxMutatingRequestsInFlight: 200,
		maxInflightPayloadBytes:     128 << 20,
		payloadTimeout:              30 * time.Second,
		maxDeliveries:               10_000,
		maxDeliveryBytes:            64 << 20,
		namespaceSharePercent:       50,
		etcdQuotaBytes:              2 << 30,
		directRequestsPerSecond:     10,
	}
}

func (l *limits) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("limits")
	fs.IntVar(&l.maxRequestsInFlight, "max-requests-inflight", l.maxRequestsInFlight,
		"How many requests that only read may be under way, besides watches. Others are answered 429.")
	fs.IntVar(&l.maxMutatingRequestsInFlight, "max-mutating-requests-inflight", l.maxMutatingRequestsInFlight,
		"How many requests that deliver or delete may be under way. Others are answered 429.")
	fs.Int64Var(&l.maxInflightPayloadBytes, "max-inflight-payload-bytes", l.maxInflightPayloadBytes,
		"The most memory, in bytes, that the payloads and objects which are worked on at a time may take, at least as much as the largest payload. "+
			"A payload counts as 512 KiB and 10 times its size, an object as 2.5 MiB and 14 times its size. "+
			"Bodies that arrive may take a quarter of that beside it. "+
			"A request waits a little for its share; then it is answered 429, and an object that would take more, 413. The classic receiver has as much of its own.")
	fs.DurationVar(&l.payloadTimeout, "payload-timeout", l.payloadTimeout,
		fmt.Sprintf("How long a payload or an object may take to arrive, from %s to %s. Then the request is answered 504.", minPayloadTimeout, maxPayloadTimeout))
	fs.IntVar(&l.maxDeliveries, "max-deliveries", l.maxDeliveries, fmt.Sprintf(
		"How many deliveries are kept, in all namespaces together, from %d to %d. Beyond, the oldest are deleted that are not Pending, "+
			"of the namespace that has most; while as many are Pending, new ones are answered 429.", minMaxDeliveries, maxMaxDeliveries))
	fs.Int64Var(&l.maxDeliveryBytes, "max-delivery-bytes", l.maxDeliveryBytes, fmt.Sprintf(
		"How many bytes of JSON the deliveries that are kept may take together, from %d to %d. Beyond, they are deleted as with --max-deliveries. "+
			"In memory they take several times as much.", minMaxDeliveryBytes, int64(maxBytes)))
	fs.IntVar(&l.namespaceSharePercent, "max-namespace-share-percent", l.namespaceSharePercent,
		"How much one namespace may take, from 1 to 100, of what may be Pending of --max-deliveries and --max-delivery-bytes, and, its unauthenticated senders apart, "+
			"of --max-mutating-requests-inflight, of --max-inflight-payload-bytes, and of the processors; beyond, its deliveries are answered 429. "+
			"Each further namespace that takes as much as it may lowers that for all, so that something stays free for others. With 100 nothing does.")
	fs.Int64Var(&l.etcdQuotaBytes, "etcd-quota-bytes", l.etcdQuotaBytes, fmt.Sprintf(
		"How large the database of the embedded etcd may be, from %d to %d. Near that, old revisions are dropped and the oldest deliveries deleted; "+
			"at that, new ones are answered 503.", minEtcdQuotaBytes, int64(maxEtcdQuotaBytes)))
	fs.IntVar(&l.directRequestsPerSecond, "direct-requests-per-second", l.directRequestsPerSecond, fmt.Sprintf(
		"How many requests a second that reach this server without the kube-apiserver, as those of Prometheus do, it asks the kube-apiserver about, from %d to %d: "+
			"of callers that were authorized before, and as many of others; of one caller a quarter, but at least one. Others are answered 429.",
		minDirectRequestsPerSecond, maxDirectRequestsPerSecond))
}

// validate returns everything that is wrong; a payload may have maxPayloadBytes.
func (l *limits) validate(maxPayloadBytes int64) []error {
	var errs []error
	within := func(flag string, value, least, most int64) {
		if value < least || value > most {
			errs = append(errs, fmt.Errorf("--%s is %d: it must be from %d to %d", flag, value, least, most))
		}
	}
	within("max-requests-inflight", int64(l.maxRequestsInFlight), 1, maxRequests)
	within("max-mutating-requests-inflight", int64(l.maxMutatingRequestsInFlight), 1, maxRequests)
	if least := apiserver.MinPayloadBudget(maxPayloadBytes); l.maxInflightPayloadBytes < least || l.maxInflightPayloadBytes > maxBytes {
		errs = append(errs, fmt.Errorf(
			"--max-inflight-payload-bytes is %d: it must be from %d, what a payload of --max-payload-bytes, %d, or an object without one may take, to %d",
			l.maxInflightPayloadBytes, least, maxPayloadBytes, int64(maxBytes)))
	}
	if l.payloadTimeout < minPayloadTimeout || l.payloadTimeout > maxPayloadTimeout {
		errs = append(errs, fmt.Errorf("--payload-timeout is %s: it must be from %s to %s", l.payloadTimeout, minPayloadTimeout, maxPayloadTimeout))
	}
	within("max-deliveries", int64(l.maxDeliveries), minMaxDeliveries, maxMaxDeliveries)
	within("max-delivery-bytes", l.maxDeliveryBytes, minMaxDeliveryBytes, maxBytes)
	within("max-namespace-share-percent", int64(l.namespaceSharePercent), 1, 100)
	within("etcd-quota-bytes", l.etcdQuotaBytes, minEtcdQuotaBytes, maxEtcdQuotaBytes)
	within("direct-requests-per-second", int64(l.directRequestsPerSecond), minDirectRequestsPerSecond, maxDirectRequestsPerSecond)
	return errs
}
