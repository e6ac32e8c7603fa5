// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"cmp"
	"fmt"
	"time"

	genericoptions "k8s.io/apiserver/pkg/server/options"
	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/apiserver/filters"
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

	minArgoCDRefreshesPerSecond, maxArgoCDRefreshesPerSecond = 0.01, 10_000.0
)

// Limits are the flags that bound the server's use of resources, in addition to the framework's ServerRunOptions.
type Limits struct {
	MaxInflightPayloadBytes int64
	PayloadTimeout          time.Duration
	MaxDeliveries           int
	MaxDeliveryBytes        int64
	NamespaceSharePercent   int
	EtcdQuotaBytes          int64
	DirectRequestsPerSecond int
	// ArgoCDRefreshesPerSecond is 0 for no limit.
	ArgoCDRefreshesPerSecond float64
}

func newLimits() Limits {
	return Limits{
		MaxInflightPayloadBytes: 128 << 20,
		PayloadTimeout:          30 * time.Second,
		MaxDeliveries:           10_000,
		MaxDeliveryBytes:        64 << 20,
		NamespaceSharePercent:   50,
		EtcdQuotaBytes:          2 << 30,
		DirectRequestsPerSecond: 10,
	}
}

func (l *Limits) addFlags(sets *cliflag.NamedFlagSets, serverRun *genericoptions.ServerRunOptions) {
	fs := sets.FlagSet("limits")
	fs.IntVar(&serverRun.MaxRequestsInFlight, "max-requests-inflight", serverRun.MaxRequestsInFlight,
		"The maximum number of read requests in flight, not including watches. Further requests are answered 429.")
	fs.IntVar(&serverRun.MaxMutatingRequestsInFlight, "max-mutating-requests-inflight",
		serverRun.MaxMutatingRequestsInFlight,
		"The maximum number of requests in flight that deliver or delete. Further requests are answered 429.")
	fs.Int64Var(&l.MaxInflightPayloadBytes, "max-inflight-payload-bytes", l.MaxInflightPayloadBytes,
		"The maximum memory, in bytes, for the payloads and objects in flight. It must allow at least one payload of "+
			"the maximum size. A payload is counted as 512 KiB plus 10 times its size, an object as 2.5 MiB plus 14 "+
			"times its size. Bodies that are being received may take another quarter of it. A request that exceeds "+
			"it waits briefly and is then answered 429; an object that could never fit is answered 413. The classic "+
			"receiver has a separate limit of the same size.")
	fs.DurationVar(&l.PayloadTimeout, "payload-timeout", l.PayloadTimeout,
		fmt.Sprintf("The time in which a payload or an object must arrive, from %s to %s. Slower requests are "+
			"answered 504.",
			minPayloadTimeout, maxPayloadTimeout))
	fs.IntVar(&l.MaxDeliveries, "max-deliveries", l.MaxDeliveries, fmt.Sprintf(
		"The maximum number of stored deliveries of all namespaces, from %d to %d. Above it, the oldest that are not "+
			"Pending are deleted in the namespace with the most. While that many are Pending, new deliveries are "+
			"answered 429.",
		minMaxDeliveries, maxMaxDeliveries))
	fs.Int64Var(&l.MaxDeliveryBytes, "max-delivery-bytes", l.MaxDeliveryBytes, fmt.Sprintf(
		"The maximum size of the stored deliveries, in bytes of JSON, from %d to %d. Above it, deliveries are "+
			"deleted as for --max-deliveries. In memory they take several times as much.",
		minMaxDeliveryBytes, int64(maxBytes)))
	fs.IntVar(&l.NamespaceSharePercent, "max-namespace-share-percent", l.NamespaceSharePercent,
		"The share of one namespace in percent, from 1 to 100. It applies to the deliveries that may be Pending "+
			"(--max-deliveries, --max-delivery-bytes) and, separately for unauthenticated senders and for all "+
			"others, to --max-mutating-requests-inflight, --max-inflight-payload-bytes and the processors; beyond, "+
			"its deliveries are answered 429. The share shrinks with each further namespace that uses all of its "+
			"share, so that some capacity stays free; with 100 none does.")
	fs.Int64Var(&l.EtcdQuotaBytes, "etcd-quota-bytes", l.EtcdQuotaBytes, fmt.Sprintf(
		"The maximum size of the embedded etcd's database, in bytes, from %d to %d. Near it, old revisions are "+
			"compacted and the oldest deliveries deleted. When it is reached, new deliveries are answered 503.",
		minEtcdQuotaBytes, int64(maxEtcdQuotaBytes)))
	fs.IntVar(&l.DirectRequestsPerSecond, "direct-requests-per-second", l.DirectRequestsPerSecond, fmt.Sprintf(
		"How many requests per second of direct callers, such as Prometheus, are authenticated and authorized by the "+
			"kube-apiserver, from %d to %d. Callers that were authorized before and all other callers have this "+
			"limit each, and one caller has a quarter of it, but at least one. Further requests are answered 429.",
		minDirectRequestsPerSecond, maxDirectRequestsPerSecond))
	fs.Float64Var(&l.ArgoCDRefreshesPerSecond, "argocd-refreshes-per-second", l.ArgoCDRefreshesPerSecond, fmt.Sprintf(
		"How many Applications and ApplicationSets of a namespace are refreshed per second for git refs of deliveries "+
			"by source, from %v to %v, or 0 for no limit. The others are Pending until their turn. Redeliveries, "+
			"images and deliveries by target do not wait.",
		minArgoCDRefreshesPerSecond, maxArgoCDRefreshesPerSecond))
}

// validate returns all errors, and nil where there is none. maxPayloadBytes is the limit for one payload.
func (l *Limits) validate(maxPayloadBytes int64, serverRun *genericoptions.ServerRunOptions) []error {
	errs := []error{
		within("--max-requests-inflight", serverRun.MaxRequestsInFlight, 1, maxRequests),
		within("--max-mutating-requests-inflight", serverRun.MaxMutatingRequestsInFlight, 1, maxRequests),
		within("--payload-timeout", l.PayloadTimeout, minPayloadTimeout, maxPayloadTimeout),
		within("--max-deliveries", l.MaxDeliveries, minMaxDeliveries, maxMaxDeliveries),
		within("--max-delivery-bytes", l.MaxDeliveryBytes, minMaxDeliveryBytes, maxBytes),
		within("--max-namespace-share-percent", l.NamespaceSharePercent, 1, 100),
		within("--etcd-quota-bytes", l.EtcdQuotaBytes, minEtcdQuotaBytes, maxEtcdQuotaBytes),
		within("--direct-requests-per-second", l.DirectRequestsPerSecond, minDirectRequestsPerSecond,
			maxDirectRequestsPerSecond),
	}
	if l.ArgoCDRefreshesPerSecond != 0 {
		errs = append(errs, within("--argocd-refreshes-per-second", l.ArgoCDRefreshesPerSecond,
			minArgoCDRefreshesPerSecond, maxArgoCDRefreshesPerSecond))
	}
	if least := filters.MinPayloadBudget(maxPayloadBytes); l.MaxInflightPayloadBytes < least ||
		l.MaxInflightPayloadBytes > maxBytes {
		errs = append(errs, fmt.Errorf(
			"--max-inflight-payload-bytes is %d: it must be from %d, which a payload of --max-payload-bytes (%d) or "+
				"an object without one may take, to %d",
			l.MaxInflightPayloadBytes, least, maxPayloadBytes, int64(maxBytes)))
	}
	return errs
}

// within returns an error that names the setting if its value is out of bounds, otherwise nil.
func within[T cmp.Ordered](name string, value, least, most T) error {
	if least <= value && value <= most {
		return nil
	}
	return fmt.Errorf("%s is %v: it must be from %v to %v", name, value, least, most)
}
