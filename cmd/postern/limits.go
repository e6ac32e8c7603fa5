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
	// The API server ends every request after a minute.
	minPayloadTimeout, maxPayloadTimeout = time.Second, time.Minute

	// Larger values would exceed the memory of any machine.
	maxRequests, maxBytes, maxMaxDeliveries = 1 << 20, 1 << 44, 1 << 30

	minMaxDeliveries = 10
	// A record with its final status may take 768 KiB, and a few records must fit.
	minMaxDeliveryBytes = 4 << 20

	// etcd recommends at most 8 GiB.
	minEtcdQuotaBytes, maxEtcdQuotaBytes = 16 << 20, 8 << 30

	minDirectRequestsPerSecond, maxDirectRequestsPerSecond = 1, 10_000
)

// limits are the flags that bound the server's use of resources.
type limits struct {
	// The maximum numbers of requests in flight, except watches.
	maxRequestsInFlight, maxMutatingRequestsInFlight int
	maxInflightPayloadBytes                          int64
	payloadTimeout                                   time.Duration
	maxDeliveries                                    int
	maxDeliveryBytes                                 int64
	namespaceSharePercent                            int
	etcdQuotaBytes                                   int64
	directRequestsPerSecond                          int
}

// newLimits returns the defaults. The request limits are the kube-apiserver's, which passes on no more.
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
		"The maximum number of read requests in flight, not including watches. Further requests are answered 429.")
	fs.IntVar(&l.maxMutatingRequestsInFlight, "max-mutating-requests-inflight", l.maxMutatingRequestsInFlight,
		"The maximum number of requests in flight that deliver or delete. Further requests are answered 429.")
	fs.Int64Var(&l.maxInflightPayloadBytes, "max-inflight-payload-bytes", l.maxInflightPayloadBytes,
		"The maximum memory, in bytes, for the payloads and objects in flight. It must allow at least one payload of "+
			"the maximum size. A payload is counted as 512 KiB plus 10 times its size, an object as 2.5 MiB plus 14 "+
			"times its size. Bodies that are being received may take another quarter of it. A request that exceeds "+
			"it waits briefly and is then answered 429; an object that could never fit is answered 413. The classic "+
			"receiver has a separate limit of the same size.")
	fs.DurationVar(&l.payloadTimeout, "payload-timeout", l.payloadTimeout,
		fmt.Sprintf("The time in which a payload or an object must arrive, from %s to %s. Slower requests are "+
			"answered 504.",
			minPayloadTimeout, maxPayloadTimeout))
	fs.IntVar(&l.maxDeliveries, "max-deliveries", l.maxDeliveries, fmt.Sprintf(
		"The maximum number of stored deliveries of all namespaces, from %d to %d. Above it, the oldest that are not "+
			"Pending are deleted in the namespace with the most. While that many are Pending, new deliveries are "+
			"answered 429.",
		minMaxDeliveries, maxMaxDeliveries))
	fs.Int64Var(&l.maxDeliveryBytes, "max-delivery-bytes", l.maxDeliveryBytes, fmt.Sprintf(
		"The maximum size of the stored deliveries, in bytes of JSON, from %d to %d. Above it, deliveries are "+
			"deleted as for --max-deliveries. In memory they take several times as much.",
		minMaxDeliveryBytes, int64(maxBytes)))
	fs.IntVar(&l.namespaceSharePercent, "max-namespace-share-percent", l.namespaceSharePercent,
		"The share of one namespace in percent, from 1 to 100. It applies to the deliveries that may be Pending "+
			"(--max-deliveries, --max-delivery-bytes) and, separately for unauthenticated senders and for all "+
			"others, to --max-mutating-requests-inflight, --max-inflight-payload-bytes and the processors; beyond, "+
			"its deliveries are answered 429. The share shrinks with each further namespace that uses all of its "+
			"share, so that some capacity stays free; with 100 none does.")
	fs.Int64Var(&l.etcdQuotaBytes, "etcd-quota-bytes", l.etcdQuotaBytes, fmt.Sprintf(
		"The maximum size of the embedded etcd's database, in bytes, from %d to %d. Near it, old revisions are "+
			"compacted and the oldest deliveries deleted. When it is reached, new deliveries are answered 503.",
		minEtcdQuotaBytes, int64(maxEtcdQuotaBytes)))
	fs.IntVar(&l.directRequestsPerSecond, "direct-requests-per-second", l.directRequestsPerSecond, fmt.Sprintf(
		"How many requests per second of direct callers, such as Prometheus, are authenticated and authorized by the "+
			"kube-apiserver, from %d to %d. Callers that were authorized before and all other callers have this "+
			"limit each, and one caller has a quarter of it, but at least one. Further requests are answered 429.",
		minDirectRequestsPerSecond, maxDirectRequestsPerSecond))
}

// validate returns all errors. maxPayloadBytes is the limit for one payload.
func (l *limits) validate(maxPayloadBytes int64) []error {
	var errs []error
	within := func(flag string, value, least, most int64) {
		if value < least || value > most {
			errs = append(errs, fmt.Errorf("--%s is %d: it must be from %d to %d", flag, value, least, most))
		}
	}
	within("max-requests-inflight", int64(l.maxRequestsInFlight), 1, maxRequests)
	within("max-mutating-requests-inflight", int64(l.maxMutatingRequestsInFlight), 1, maxRequests)
	if least := apiserver.MinPayloadBudget(maxPayloadBytes); l.maxInflightPayloadBytes < least ||
		l.maxInflightPayloadBytes > maxBytes {
		errs = append(errs, fmt.Errorf(
			"--max-inflight-payload-bytes is %d: it must be from %d, which a payload of --max-payload-bytes (%d) or "+
				"an object without one may take, to %d",
			l.maxInflightPayloadBytes, least, maxPayloadBytes, int64(maxBytes)))
	}
	if l.payloadTimeout < minPayloadTimeout || l.payloadTimeout > maxPayloadTimeout {
		errs = append(errs, fmt.Errorf("--payload-timeout is %s: it must be from %s to %s",
			l.payloadTimeout, minPayloadTimeout, maxPayloadTimeout))
	}
	within("max-deliveries", int64(l.maxDeliveries), minMaxDeliveries, maxMaxDeliveries)
	within("max-delivery-bytes", l.maxDeliveryBytes, minMaxDeliveryBytes, maxBytes)
	within("max-namespace-share-percent", int64(l.namespaceSharePercent), 1, 100)
	within("etcd-quota-bytes", l.etcdQuotaBytes, minEtcdQuotaBytes, maxEtcdQuotaBytes)
	within("direct-requests-per-second", int64(l.directRequestsPerSecond), minDirectRequestsPerSecond,
		maxDirectRequestsPerSecond)
	return errs
}
