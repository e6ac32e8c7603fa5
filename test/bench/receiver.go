// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"

	"postern.dev/postern/test/controlplane"
)

// receiverToken is the secret of the sender at Postern's receiver.
const receiverToken = "only-for-the-benchmark"

// load is how a receiver is loaded, and the value by which it is compared.
type load struct {
	name, unit       string
	workers, targets int
	value            func(summary) float64
}

// measureReceiver compares Postern's classic receiver, and those of peers, with bare writes.
func (b *bench) measureReceiver(ctx context.Context, c *cluster) error {
	receivers, err := b.startReceivers(ctx, c)
	if err != nil {
		return err
	}
	for _, l := range []load{
		{"p50, one at a time", "ms", 1, manyTargets, p50},
		{fmt.Sprintf("deliveries/s, %d at a time", atOnce), "/s", atOnce, manyTargets, perSecond},
		{fmt.Sprintf("deliveries/s, %d at a time, one GatewaySync", atOnce), "/s", atOnce, 1, perSecond},
	} {
		if err := b.compareReceivers(ctx, c, receivers, l); err != nil {
			return err
		}
	}
	return nil
}

// startReceivers starts Postern's receiver and the peers, and returns all of them.
func (b *bench) startReceivers(ctx context.Context, c *cluster) ([]*receiver, error) {
	if err := c.startPostern(ctx, controlplane.PosternOptions{
		Flags: []string{"--enable-webhook", "--webhook-namespaces=" + namespace},
		Env:   []string{"WEBHOOK_BEARER_TOKEN=" + receiverToken},
	}); err != nil {
		return nil, err
	}
	receivers := []*receiver{{
		name:   "receiver",
		url:    "https://" + c.postern.ReceiverAddress() + "/webhook/{namespace}/{name}",
		header: http.Header{"Authorization": {"Bearer " + receiverToken}},
	}}
	for _, peer := range b.peers {
		b.say("Waiting for %s at %s; the kubeconfig is %s...", peer.name, peer.url, c.AdminKubeconfig())
		if err := c.startPeer(ctx, peer); err != nil {
			return nil, fmt.Errorf("could not reach %s: %w", peer.name, err)
		}
	}
	return append(receivers, b.peers...), nil
}

func (b *bench) compareReceivers(ctx context.Context, c *cluster, receivers []*receiver, l load) error {
	b.say("Delivering through receivers: %s...", l.name)
	client, err := newReceiverClient()
	if err != nil {
		return err
	}
	k := kinds()[0] // receivers accept a webhook for a GatewaySync
	bare := &side{name: "bare PATCH, " + l.name, do: c.patch(objects{k, firstPatched, l.targets})}
	sides := []*side{bare}
	if err := c.create(ctx, k, firstPatched, l.targets); err != nil {
		return err
	}
	for i, r := range receivers {
		to := objects{k, firstReceived + i*manyTargets, l.targets}
		if err := c.create(ctx, k, to.first, to.count); err != nil {
			return err
		}
		sides = append(sides, &side{name: r.name + ", " + l.name, do: c.receive(client, r, to)})
	}
	if err := b.takeTurns(ctx, c, l.workers, sides...); err != nil {
		return err
	}
	patched := b.keep(bare)
	for _, s := range sides[1:] {
		received := b.keep(s)
		f := compared(s.name, l.unit, l.value(received), l.value(patched), ratios(s.rounds, bare.rounds, l.value), nil)
		if n := received.unsuccessful(); n > 0 {
			f.Note = fmt.Sprintf("%d of %d answers were not 2xx", n, n+received.N)
		}
		b.report.add(f)
	}
	return nil
}

// unsuccessful returns the number of operations that failed.
func (s summary) unsuccessful() int { return s.failures() - s.N }
