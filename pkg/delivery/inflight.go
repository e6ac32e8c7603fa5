// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"sync"

	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
)

// inFlightCalls are the deliveries with an identity that are under way in this process, from their receipt until their last
// status is stored: a repeat that comes meanwhile waits for what it repeats. It is safe for concurrent use.
type inFlightCalls struct {
	mu    sync.Mutex
	calls map[string]*call
}

// call is a delivery that is under way.
type call struct {
	// done is closed when the delivery is answered; then record and err are what it was answered with.
	done   chan struct{}
	record *postern.WebhookDelivery
	err    error
	// references are those who have not ended with it: who carries it out, and who stores its status.
	references int
}

func callKey(delivery *postern.WebhookDelivery) string {
	return delivery.Namespace + "/" + delivery.Status.Identity
}

// start returns the trip of a delivery, and whether it is a new one, which the caller must end.
func (u *inFlightCalls) start(delivery *postern.WebhookDelivery) (t *call, first bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if t, ok := u.calls[callKey(delivery)]; ok {
		return t, false
	}
	if u.calls == nil {
		u.calls = map[string]*call{}
	}
	t = &call{done: make(chan struct{}), references: 1}
	u.calls[callKey(delivery)] = t
	return t, true
}

// finish makes a trip known for what it came to.
func (u *inFlightCalls) finish(delivery *postern.WebhookDelivery, t *call, record *postern.WebhookDelivery, err error) {
	t.record, t.err = record, err
	close(t.done)
	u.release(delivery)
}

// retain keeps a trip, if there is one, until it is released once more.
func (u *inFlightCalls) retain(delivery *postern.WebhookDelivery) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if t, ok := u.calls[callKey(delivery)]; ok && delivery.Status.Identity != "" {
		t.references++
	}
}

func (u *inFlightCalls) release(delivery *postern.WebhookDelivery) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t, ok := u.calls[callKey(delivery)]
	if !ok || delivery.Status.Identity == "" {
		return
	}
	if t.references--; t.references == 0 {
		delete(u.calls, callKey(delivery))
	}
}

// deliverOnce admits and carries a delivery that has an identity, unless it came before: in this process it may be under
// way, and otherwise there is a record of it. Nothing is written before that is known.
func (d *Deliverer) deliverOnce(
	ctx context.Context, delivery *postern.WebhookDelivery, sender user.Info, dryRun bool,
) (*postern.WebhookDelivery, error) {
	if dryRun { // which nothing needs to wait for
		return d.deliverUnlessRecorded(ctx, delivery, sender, true)
	}
	for {
		t, first := d.inFlight.start(delivery)
		if first {
			return d.deliverFirst(ctx, t, delivery, sender)
		}
		select {
		case <-t.done:
		case <-ctx.Done():
			err := answerUnavailable("the delivery that this one repeats is still under way", ctx.Err())
			d.observe(ctx, delivery, err)
			return nil, err
		}
		if t.record != nil {
			delivery.Name, delivery.GenerateName = t.record.Name, ""
			if err := d.admit(ctx, delivery, sender, false); err != nil {
				return nil, err
			}
			return d.execute(ctx, delivery, executeOptions{inFlight: t})
		}
	}
}

// deliverFirst delivers and ends the trip, however that ends.
func (d *Deliverer) deliverFirst(
	ctx context.Context, t *call, delivery *postern.WebhookDelivery, sender user.Info,
) (record *postern.WebhookDelivery, err error) {
	key := &postern.WebhookDelivery{ObjectMeta: delivery.ObjectMeta}
	key.Status.Identity = delivery.Status.Identity
	defer func() {
		if record != nil {
			d.receipts.forget(key)
		}
		d.inFlight.finish(key, t, record.DeepCopy(), err)
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
	how := d.recordWhileWriting
	if d.Shared {
		how = d.recordThenWrite // or two replicas that get it at once would both write
	}
	return d.execute(ctx, delivery, executeOptions{dryRun: dryRun, first: first, record: how})
}
