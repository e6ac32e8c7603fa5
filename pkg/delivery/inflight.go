// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"sync"

	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
)

// inFlightCalls are the deliveries with an identity that this process works on, from the receipt until the final status
// is stored. A repeat waits for the delivery that it repeats. It is safe for concurrent use.
type inFlightCalls struct {
	mu    sync.Mutex
	calls map[string]*call
}

// call is a delivery in flight.
type call struct {
	// done is closed when the delivery is answered with record and err.
	done   chan struct{}
	record *postern.WebhookDelivery
	err    error
	// references counts the goroutines that use the call: the one that executes it and the one that stores its status.
	references int
}

func callKey(delivery *postern.WebhookDelivery) string {
	return delivery.Namespace + "/" + delivery.Status.Identity
}

// start returns the call of a delivery, and whether it is new. The caller must finish a new one.
func (f *inFlightCalls) start(delivery *postern.WebhookDelivery) (c *call, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.calls[callKey(delivery)]; ok {
		return c, false
	}
	if f.calls == nil {
		f.calls = map[string]*call{}
	}
	c = &call{done: make(chan struct{}), references: 1}
	f.calls[callKey(delivery)] = c
	return c, true
}

// finish publishes the outcome of a call.
func (f *inFlightCalls) finish(
	delivery *postern.WebhookDelivery, c *call, record *postern.WebhookDelivery, err error,
) {
	c.record, c.err = record, err
	close(c.done)
	f.release(delivery)
}

// retain keeps the call of a delivery, if there is one, until one more release.
func (f *inFlightCalls) retain(delivery *postern.WebhookDelivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.calls[callKey(delivery)]; ok && delivery.Status.Identity != "" {
		c.references++
	}
}

func (f *inFlightCalls) release(delivery *postern.WebhookDelivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.calls[callKey(delivery)]
	if !ok || delivery.Status.Identity == "" {
		return
	}
	if c.references--; c.references == 0 {
		delete(f.calls, callKey(delivery))
	}
}

// deliverOnce admits and executes a delivery that has an identity, unless it is a repeat: the first one is in flight in
// this process, or has a record. Nothing is written before that is known.
func (d *Deliverer) deliverOnce(
	ctx context.Context, delivery *postern.WebhookDelivery, sender user.Info, dryRun bool,
) (*postern.WebhookDelivery, error) {
	if dryRun { // no repeat needs to wait for it
		return d.deliverUnlessRecorded(ctx, delivery, sender, true)
	}
	for {
		c, first := d.inFlight.start(delivery)
		if first {
			return d.deliverFirst(ctx, c, delivery, sender)
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			err := answerUnavailable("the delivery that this one repeats is still in progress", ctx.Err())
			d.observe(ctx, delivery, err)
			return nil, err
		}
		if c.record != nil {
			delivery.Name, delivery.GenerateName = c.record.Name, ""
			if err := d.admit(ctx, delivery, sender, false); err != nil {
				return nil, err
			}
			return d.execute(ctx, delivery, executeOptions{inFlight: c})
		}
	}
}

// deliverFirst delivers and finishes the call, whether it succeeds or not.
func (d *Deliverer) deliverFirst(
	ctx context.Context, c *call, delivery *postern.WebhookDelivery, sender user.Info,
) (record *postern.WebhookDelivery, err error) {
	key := &postern.WebhookDelivery{ObjectMeta: delivery.ObjectMeta}
	key.Status.Identity = delivery.Status.Identity
	defer func() {
		if record != nil {
			d.receipts.forget(key)
		}
		d.inFlight.finish(key, c, record.DeepCopy(), err)
	}()
	return d.deliverUnlessRecorded(ctx, delivery, sender, false)
}

func (d *Deliverer) deliverUnlessRecorded(
	ctx context.Context, delivery *postern.WebhookDelivery, sender user.Info, dryRun bool,
) (*postern.WebhookDelivery, error) {
	first, err := d.findFirst(ctx, delivery)
	if err != nil {
		d.observe(ctx, delivery, err)
		return nil, err
	}
	if received := d.receipts.of(delivery); first == nil && received != nil {
		delivery.Status.ReceivedTime = received
	}
	if err := d.admit(ctx, delivery, sender, dryRun); err != nil {
		return nil, err
	}
	record := d.recordWhileWriting
	if d.Shared {
		record = d.recordThenWrite // otherwise two replicas that receive it concurrently both write
	}
	return d.execute(ctx, delivery, executeOptions{dryRun: dryRun, first: first, record: record})
}
