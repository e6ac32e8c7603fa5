// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"

	"postern.dev/postern/apis/postern"
)

const (
	// maxNames bounds the names that a delivery may have by its identity. Other objects may have taken some of them.
	maxNames = 4
	// nameDigits is how many hex digits of an identity a name has: 80 bits. Among a million deliveries in a namespace,
	// two collide with a probability of one in a trillion, and then the second one gets another name.
	nameDigits = 20
	// lookUpTimeout bounds the search for the record of an earlier delivery.
	lookUpTimeout = 3 * time.Second
	// maxReceipts bounds the remembered receipts, of about 300 bytes each. The least recently used ones are forgotten.
	maxReceipts = 4096
)

// deduplicate finds the delivery that a request repeats, before anything is written: one that this process works on,
// whose answer it waits for, or one that has a record. Otherwise repeats wait for this request, until finish.
func (d *Deliverer) deduplicate(ctx context.Context, r *Request) (err error) {
	if !setIdentity(r.Delivery, r.deliveryID) {
		return nil
	}
	for !r.DryRun { // no repeat needs to wait for a dry run
		c, first := d.inFlight.start(r.Delivery)
		if first {
			r.call = c
			break
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return answerUnavailable("the delivery that this one repeats is still in progress", ctx.Err())
		}
		if c.record != nil {
			r.Delivery.Name, r.Delivery.GenerateName = c.record.Name, ""
			r.inFlight = c
			return nil
		}
	}
	if r.first, err = d.findFirst(ctx, r.Delivery); err != nil {
		return err
	}
	if received := d.receipts.of(r.Delivery); r.first == nil && received != nil {
		r.Delivery.Status.ReceivedTime = received
	}
	r.recordFirst = d.Shared // otherwise two replicas that receive it concurrently both write
	return nil
}

// finish answers the repeats that wait for a request.
func (d *Deliverer) finish(r *Request, record *postern.WebhookDelivery, err error) {
	c := r.call
	if c == nil {
		return
	}
	if record != nil {
		d.receipts.forget(c.key)
	}
	c.record, c.err = record.DeepCopy(), err
	close(c.done)
	d.inFlight.release(c.key)
}

// setIdentity sets the identity that a delivery shares with its repeats: a hash of the type of sender, the sender's id,
// the payload and the target. It derives the name from it, so that replicas agree on the name. It returns false if
// there is no id, because repeats then can't be detected.
func setIdentity(delivery *postern.WebhookDelivery, deliveryID string) bool {
	if deliveryID == "" || delivery.Status.Payload == nil {
		return false
	}
	to := postern.TargetReference{}
	if delivery.Spec.Target != nil {
		to = *delivery.Spec.Target
	}
	identity := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%s",
		delivery.Spec.Source, to.Kind, to.Name, deliveryID, delivery.Status.Payload.SHA256))
	delivery.Status.Identity = hex.EncodeToString(identity[:])
	delivery.Name, delivery.GenerateName = nthName(delivery, 0), ""
	return true
}

// nthName returns the nth name of a delivery that has an identity.
func nthName(delivery *postern.WebhookDelivery, n int) string {
	digits := delivery.Status.Identity
	if n > 0 {
		digest := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", digits, n))
		digits = hex.EncodeToString(digest[:])
	}
	return delivery.Spec.Source + "-" + digits[:nameDigits]
}

// findFirst returns the stored record of the delivery that this one repeats, or nil. It sets the name of the delivery
// to the name of that record, or to a free one. A record with the name but not the identity is unrelated: every client
// that may create objects may have made it.
func (d *Deliverer) findFirst(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	for n := range maxNames {
		delivery.Name, delivery.GenerateName = nthName(delivery, n), ""
		found, err := d.Records.Get(ctx, delivery.Namespace, delivery.Name)
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case err != nil:
			return nil, answerUnavailable("could not check whether the delivery is a repeat", err)
		case found.Status.Identity == delivery.Status.Identity:
			return found, nil
		}
	}
	// All names are taken. A repeat that passes for new is better than a lost delivery.
	delivery.Name, delivery.GenerateName = "", delivery.Spec.Source+"-"
	return nil, nil
}

// repeatError means that a record was not created because one of the same delivery exists.
type repeatError struct{ first *postern.WebhookDelivery }

func (e *repeatError) Error() string {
	return "the delivery repeats " + e.first.Name
}

// firstRecord returns the record of the first delivery if err is a repeatError, else nil.
func firstRecord(err error) *postern.WebhookDelivery {
	if repeat, ok := errors.AsType[*repeatError](err); ok {
		return repeat.first
	}
	return nil
}

// inFlightCalls are the deliveries with an identity that this process works on, from the receipt until the final status
// is stored. It is safe for concurrent use.
type inFlightCalls struct {
	mu    sync.Mutex
	calls map[string]*call
}

// call is a delivery in flight.
type call struct {
	key string
	// done is closed when the delivery is answered with record and err.
	done   chan struct{}
	record *postern.WebhookDelivery
	err    error
	// references counts the goroutines that use the call: the one that executes it and the one that stores its status.
	references int
}

// callKey returns the key of a delivery, or "" if it has no identity.
func callKey(delivery *postern.WebhookDelivery) string {
	if delivery.Status.Identity == "" {
		return ""
	}
	return delivery.Namespace + "/" + delivery.Status.Identity
}

// start returns the call of a delivery, and whether it is new. The caller must release a new one.
func (f *inFlightCalls) start(delivery *postern.WebhookDelivery) (c *call, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := callKey(delivery)
	if c, ok := f.calls[key]; ok {
		return c, false
	}
	if f.calls == nil {
		f.calls = map[string]*call{}
	}
	c = &call{key: key, done: make(chan struct{}), references: 1}
	f.calls[key] = c
	return c, true
}

// retain keeps the call of a key, if there is one, until one more release.
func (f *inFlightCalls) retain(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.calls[key]; ok {
		c.references++
	}
}

func (f *inFlightCalls) release(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.calls[key]; ok {
		if c.references--; c.references == 0 {
			delete(f.calls, key)
		}
	}
}

// receipts remembers when a delivery with an identity was received that may have been written but could not be
// recorded. Its sender has to send it again, and no record identifies the repeat. With a new receipt, the repeat would
// overwrite what was received in between. It is safe for concurrent use.
type receipts struct{ first *lru.Cache }

func newReceipts() receipts { return receipts{lru.New(maxReceipts)} }

// of returns when a delivery was first received, or nil if that is unknown.
func (r receipts) of(delivery *postern.WebhookDelivery) *metav1.MicroTime {
	first, known := r.first.Get(callKey(delivery))
	if !known {
		return nil
	}
	received := first.(metav1.MicroTime)
	return &received
}

// note remembers the receipt of a delivery.
func (r receipts) note(delivery *postern.WebhookDelivery) {
	if delivery.Status.Identity != "" && delivery.Status.ReceivedTime != nil {
		r.first.Add(callKey(delivery), *delivery.Status.ReceivedTime)
	}
}

// forget drops the receipt of a delivery, by its callKey, whose record now holds it.
func (r receipts) forget(key string) { r.first.Remove(key) }
